from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from mirror_depth_ros.data import bag_writer
from mirror_depth_ros.data.bag_writer import BagWriter, UnfinishedBag, remove_recording

KIND = 'std_msgs/msg/String'
NOTES = {'made_by': 'me', 'state': 'unfinished'}


def string_topic(topic='/words', **changes):
    store = get_typestore(Stores.LATEST)
    text, _ = store.generate_msgdef(KIND, ros_version=2)
    topic = {'topic': topic, 'kind': KIND, 'definition': text, 'digest': store.hash_rihs01(KIND)}
    return {**topic, **changes}


def word(number, length=5):
    store = get_typestore(Stores.LATEST)
    message = store.types[KIND](data=f'{number:0{length}d}')
    return bytes(store.serialize_cdr(message, KIND))


def read(path):
    """Return topics, times and messages as ros2 bag's rules have it."""
    with Reader(path) as reader:
        return [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages()]


def begin(folder, **notes):
    writer = BagWriter(folder, notes={**NOTES, **notes})
    return writer, writer.connect(**string_topic())


def test_what_is_committed_can_be_read(tmp_path):
    writer, words = begin(tmp_path / 'bag')
    writer.commit()
    assert read(tmp_path / 'bag') == []
    expected = []
    for i in range(5):
        writer.write(words, 10 + i, word(i))
        assert read(tmp_path / 'bag') == expected
        writer.commit()
        expected.append(('/words', 10 + i, word(i)))
        assert read(tmp_path / 'bag') == expected
        with Reader(tmp_path / 'bag') as reader:  # what metadata.yaml says
            assert (reader.message_count, reader.start_time, reader.end_time) == (
                i + 1,
                10,
                11 + i,
            )
            assert reader.topics['/words'].msgcount == i + 1
    writer.abort()
    assert read(tmp_path / 'bag') == expected


def test_a_closed_recording_has_its_index_and_notes(tmp_path):
    writer, words = begin(tmp_path / 'bag')
    for i in range(3):
        writer.write(words, 10 + i, word(i))
        writer.commit()
    writer.write(words, 13, word(3))
    writer.close({'state': 'finished'})
    assert [data for _, _, data in read(tmp_path / 'bag')] == [word(i) for i in range(4)]
    with Reader(tmp_path / 'bag') as reader:
        assert reader.storage.metadata.custom == {'made_by': 'me', 'state': 'finished'}
        (file,) = reader.storage.storages
        assert len(file.chunks) == 4
        # By the index: the third alone.
        assert len(list(reader.messages(start=12, stop=13))) == 1


def test_an_mcap_file_is_whole_after_every_write_and_half_of_it(tmp_path, monkeypatch):
    writer, words = begin(tmp_path / 'bag')
    file = tmp_path / 'bag' / 'bag.mcap'
    snapshots = []

    def pwrite(descriptor, data, offset):
        for part in (data[: len(data) // 2], data):
            original(descriptor, part, offset)
            if len(data) > 100 or part is data:  # the kernel tears no write within a page
                copy = tmp_path / f'{len(snapshots)}.mcap'
                shutil.copy(file, copy)
                snapshots.append((n_committed, copy))
        return len(data)

    original, n_committed = os.pwrite, 0
    monkeypatch.setattr(bag_writer.os, 'pwrite', pwrite)
    for i in range(3):
        writer.write(words, 10 + i, word(i, 100_000))
        writer.commit()
        n_committed = i + 1
    writer.close({})
    assert len(snapshots) > 15
    expected = [('/words', 10 + i, word(i, 100_000)) for i in range(3)]
    for before, copy in snapshots:
        found = read(copy)
        assert found in (expected[:before], expected[: before + 1])


def test_topics_keep_what_is_told_of_them(tmp_path):
    from rosbags.convert.converter import LATCH

    writer, words = begin(tmp_path / 'bag')
    latched = writer.connect(**string_topic(qos=LATCH))
    assert writer.connect(**string_topic(qos=list(LATCH))) is latched
    assert writer.connect(**string_topic()) is words
    writer.write(words, 1, word(1))
    writer.write(latched, 1, word(2))
    writer.commit()
    for end in (writer.abort, lambda: None):
        with Reader(tmp_path / 'bag') as reader:
            assert [c.ext.offered_qos_profiles for c in reader.connections] == [[], LATCH]
            assert reader.connections[0].digest == string_topic()['digest']
            assert 'string data' in reader.connections[0].msgdef.data
        end()


def test_a_full_disk(tmp_path, files_up_to):
    writer, words = begin(tmp_path / 'bag')
    writer.write(words, 1, word(1))
    writer.commit()
    writer.write(words, 2, word(2, 100_000))
    with (
        files_up_to(50_000),
        pytest.raises(OSError, match=r'could not write .*bag.mcap: File too large; check the fol'),
    ):
        writer.commit()
    writer.abort()
    assert read(tmp_path / 'bag') == [('/words', 1, word(1))]


def leave(folder, count, **notes):
    """Write a recording and leave it unfinished."""
    writer, words = begin(folder, **notes)
    other = writer.connect(**string_topic('/others'))
    for i in range(count):
        writer.write(words, 10 + i, word(i))
        writer.write(other, 10 + i, word(i))
    writer.commit()
    writer.abort()


@pytest.mark.parametrize('aside', [None, 2, 5, 7])
def test_what_was_left_is_gone_on_with_even_after_a_second_kill(tmp_path, aside):
    output = tmp_path / 'bag'
    leave(output, 5)
    if aside is not None:  # killed while it was copied, or just before or after that
        output.rename(tmp_path / 'bag.unfinished')
        leave(output, aside)
    left = UnfinishedBag.find(output, NOTES, overwrite=False)
    assert not output.exists()
    writer, _ = begin(output)
    assert left.move_into(writer, ['/words']) == max(5, aside or 0)
    writer.abort()
    assert [f.name for f in tmp_path.iterdir()] == ['bag']
    assert len(read(output)) == 2 * max(5, aside or 0)
    assert read(output)[-1] == ('/others', 9 + max(5, aside or 0), word(max(4, (aside or 0) - 1)))


def test_nothing_left(tmp_path):
    assert UnfinishedBag.find(tmp_path / 'bag', NOTES, overwrite=False) is None
    assert UnfinishedBag.find(tmp_path / 'bag', NOTES, overwrite=True) is None


def test_what_is_not_ours_stays(tmp_path):
    output = tmp_path / 'bag'
    leave(output, 1, made_by='you')
    message = r'bag with made_by you, expected made_by me to go on with it; .* with --overwrite$'
    with pytest.raises(ValueError, match=message):
        UnfinishedBag.find(output, NOTES, overwrite=False)
    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'thesis.txt').write_text('years of work')
    with pytest.raises(ValueError, match=r'got .*foreign, which is there already, expected a new'):
        UnfinishedBag.find(foreign, NOTES, overwrite=False)
    with pytest.raises(ValueError, match=r'got .*thesis.txt where the recording is to be'):
        UnfinishedBag.find(foreign, NOTES, overwrite=True)
    with pytest.raises(ValueError, match=r'got .*thesis.txt where the recording is to be'):
        remove_recording(foreign / 'thesis.txt')
    assert (foreign / 'thesis.txt').read_text() == 'years of work'
    assert UnfinishedBag.find(output, NOTES, overwrite=True) is None
    assert not output.exists()


def test_a_message_of_any_kind_of_buffer(tmp_path):
    writer, words = begin(tmp_path / 'bag')
    for i, data in enumerate(
        (word(0), memoryview(word(1)), np.frombuffer(word(2), np.uint8).data)
    ):
        writer.write(words, i, data)
    writer.commit()
    assert [data for _, _, data in read(tmp_path / 'bag')] == [word(i) for i in range(3)]
