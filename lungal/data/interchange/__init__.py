"""Labels in other tools' files: COCO JSON, Pascal VOC XML and YOLO text; see docs/labels.md.

Readers say what a file says and where, and trust nothing; `door` decides what may come in. Label
Studio's JSON is read and written in lungal.annotation.task_files, beside the rest of its format.
"""
