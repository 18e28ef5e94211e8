"""What a person or a schedule does with a round: queue it, pull its readings, promote its model.

Use cases over ports. They move pointers and talk to the world, so they are commands and no stages.
"""
