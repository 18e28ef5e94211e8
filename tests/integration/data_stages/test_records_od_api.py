"""The Object Detection API's own decoder reads our records."""

import numpy as np
import pytest

from lungal.data.tfrecords import LABEL_MAP, read_records, shard_paths, write_records
from lungal.records import CLASSES, GroundTruth, Image, LabelledBox

FILM = Image("00000013_005", np.arange(96 * 64, dtype=np.uint8).reshape(96, 64))
TRUTH = GroundTruth.of(
    "00000013_005",
    [LabelledBox("Mass", 4.0, 8.0, 40.0, 90.0), LabelledBox("Pneumothorax", 0.0, 0.0, 64.0, 96.0)],
)
EMPTY = Image("00000014_000", np.full((48, 48), 90, np.uint8))


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """What the API makes of a film with two findings and of one with none, by source_id."""
    from lungal.detectors.tfod import compat

    compat.install()
    import tensorflow as tf
    from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder
    from object_detection.utils import label_map_util

    folder = tmp_path_factory.mktemp("records") / "train"
    films = [(FILM, TRUTH), (EMPTY, GroundTruth.of("00000014_000", []))]
    write_records(folder, films, input_size=48, shards=1)
    ids = label_map_util.get_label_map_dict(str(folder / LABEL_MAP))
    decoder = TfExampleDecoder(label_map_proto_file=str(folder / LABEL_MAP))
    records = tf.data.TFRecordDataset([str(path) for path in shard_paths(folder)])
    features = {r["source_id"].numpy().decode(): r for r in map(decoder.decode, records)}
    pixels = {image.image_id: image.pixels for image, _ in read_records(folder)}
    return features, pixels, ids


def test_the_label_map_numbers_the_classes_from_one(decoded):
    assert decoded[2] == {name: number for number, name in enumerate(CLASSES, start=1)}


def test_grey_films_become_three_equal_channels(decoded):
    features, pixels, _ = decoded
    for image_id, feature in features.items():
        image = feature["image"].numpy()
        assert image.shape == (48, 48, 3)
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], pixels[image_id])


def test_boxes_are_normalised_to_the_padded_square(decoded):
    feature = decoded[0]["00000013_005"]
    expected = np.array([[8, 4, 90, 40], [0, 0, 96, 64]]) / 96  # yxyx of a 64x96 film
    np.testing.assert_allclose(feature["groundtruth_boxes"].numpy(), expected, atol=1e-6)
    assert feature["groundtruth_classes"].numpy().tolist() == [5, 8]


def test_a_film_without_finding_has_no_groundtruth(decoded):
    feature = decoded[0]["00000014_000"]
    assert feature["groundtruth_boxes"].shape == (0, 4)
    assert feature["groundtruth_classes"].shape == (0,)
