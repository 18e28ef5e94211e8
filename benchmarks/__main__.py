"""`python -m benchmarks`: run all, print a line each."""

from pathlib import Path

from benchmarks import average_precision, k_centre, serving

if __name__ == "__main__":
    print("AP at IoU .4, 1,000 films x 100 detections, lungal / pycocotools:")
    print("   ", average_precision.run((0.4,)))
    print("the same at COCO's ten IoUs, .5 to .95:")
    print("   ", average_precision.run())
    print(f"{k_centre.CHOSEN} of {k_centre.FILMS:,} films by k-centre, lungal / plain numpy:")
    for kind, ratio in k_centre.run().items():
        print(f"    {kind}: {ratio}")
    print("detection of 64 films of 1024 px, batches of 16 / one at a time:")
    if Path("models/detector/run.json").exists():
        print("   ", serving.run())
    else:
        print("    no models/detector here; `dvc repro` makes one")
