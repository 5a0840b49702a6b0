from __future__ import annotations

import pickle
import sqlite3
import struct
import sys

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode

from mirror_depth_ros.data.bag_reader import BagReader, stamp_of

STORAGES = pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])
SUFFIXES = {'sqlite3': 'db3', 'mcap': 'mcap'}
SECOND = 10**9


def grey(value):
    return np.full((37, 53), value, np.uint8)


def write(bag_maker, *, count=5, **options):
    """A recording of images whose grey is their number and whose stamp is their number, in s."""
    images = [bag_maker.image(grey(i), 'mono8', i * SECOND) for i in range(count)]
    return bag_maker.write([('/image', image) for image in images], **options)


def file_of(folder, storage):
    return folder / f'{folder.name}.{SUFFIXES[storage]}'


@STORAGES
@pytest.mark.parametrize('is_folder', [True, False])
def test_messages_come_in_order_and_by_their_times(bag_maker, storage, is_folder):
    folder = write(bag_maker, storage=storage)
    reader = BagReader(folder if is_folder else file_of(folder, storage))
    assert reader.topics == {'/image': 'sensor_msgs/msg/Image'}
    found = list(reader.messages(['/image']))
    assert [stamp_of(message) for _, _, message in found] == [i * SECOND for i in range(5)]
    # The maker records 5 ms after the stamp.
    assert [log_ns for _, log_ns, _ in found] == [i * SECOND + 5_000_000 for i in range(5)]
    assert reader.first('/image').data[0] == 0
    for i in (3, 0, 4):
        message = reader.message('/image', i * SECOND + 5_000_000, i * SECOND)
        assert message.data.tolist() == [i] * (37 * 53)


@STORAGES
def test_messages_recorded_at_once_are_told_apart_by_their_stamps(bag_maker, storage):
    reader = BagReader(write(bag_maker, storage=storage, log_ns=7 * SECOND))
    for i in (2, 0, 4):
        assert reader.message('/image', 7 * SECOND, i * SECOND).data[0] == i
    with pytest.raises(ValueError, match=r'LookupError: no message on /image recorded at 7000000'):
        reader.message('/image', 7 * SECOND, 9 * SECOND)


def test_topics_without_messages_are_not_there(bag_maker):
    reader = BagReader(write(bag_maker, storage='sqlite3'))
    assert list(reader.messages(['/other'])) == []


@pytest.mark.parametrize(
    ('storage', 'mode'),
    [
        ('sqlite3', CompressionMode.FILE),
        ('sqlite3', CompressionMode.MESSAGE),
        ('mcap', CompressionMode.FILE),
        ('mcap', CompressionMode.MESSAGE),
        ('mcap', CompressionMode.STORAGE),
    ],
)
def test_compressed_recordings(bag_maker, storage, mode):
    reader = BagReader(write(bag_maker, storage=storage, compression=mode))
    assert reader.message('/image', 3 * SECOND + 5_000_000, 3 * SECOND).data[0] == 3


@STORAGES
def test_one_file_of_compressed_messages_asks_for_its_folder(bag_maker, storage):
    folder = write(bag_maker, storage=storage, compression=CompressionMode.MESSAGE)
    file = file_of(folder, storage)
    message = (
        rf'got {file}, whose messages are compressed one by one, expected the recording with the '
        rf'metadata.yaml that says so; give its folder {folder}$'
    )
    with pytest.raises(ValueError, match=message):
        BagReader(file).first('/image')
    with pytest.raises(ValueError, match='whose messages are compressed'):
        BagReader(file).message('/image', 3 * SECOND + 5_000_000, 3 * SECOND)


def test_compressed_messages_that_the_metadata_does_not_tell_of(bag_maker):
    folder = write(bag_maker, compression=CompressionMode.MESSAGE)
    metadata = folder / 'metadata.yaml'
    text = metadata.read_text().replace('compression_mode: message', 'compression_mode: none')
    assert text != metadata.read_text()
    metadata.write_text(text)
    message = (
        f'got {folder}, whose messages are compressed one by one, expected the recording with the '
        r'metadata.yaml that says so; set compression_format: zstd and compression_mode: MESSAGE '
        r'in it$'
    )
    with pytest.raises(ValueError, match=message):
        BagReader(folder).first('/image')


@STORAGES
def test_one_compressed_file_asks_for_its_folder(bag_maker, storage):
    folder = write(bag_maker, storage=storage, compression=CompressionMode.FILE)
    (file,) = folder.glob('*.zstd')
    message = (
        rf'got {file}, a compressed file of a recording, expected the folder with its '
        rf'metadata.yaml; give {folder}, or unpack the file \(zstd -d\)$'
    )
    with pytest.raises(ValueError, match=message):
        BagReader(file)


@STORAGES
def test_a_pickled_reader_opens_the_recording_again(bag_maker, storage):
    reader = BagReader(write(bag_maker, storage=storage))
    reader.first('/image')
    pickled = pickle.dumps(reader)
    assert len(pickled) < 2000  # of the 10 kB of the recording, none
    copy = pickle.loads(pickled)
    assert copy.topics == reader.topics
    assert copy.message('/image', 3 * SECOND + 5_000_000, 3 * SECOND).data[0] == 3


def test_another_process_opens_the_recording_for_itself(bag_maker, monkeypatch):
    reader = BagReader(write(bag_maker))
    mine = reader._reader()
    assert reader._reader() is mine
    monkeypatch.setattr('os.getpid', lambda: -1)
    assert reader._reader() is not mine


def test_recordings_without_message_definitions(bag_maker):
    # As those to SQLite were before Iron.
    folder = write(bag_maker, storage='sqlite3')
    database = sqlite3.connect(file_of(folder, 'sqlite3'))
    database.executescript(
        'UPDATE schema SET schema_version = 3; DROP TABLE message_definitions; VACUUM;'
    )
    database.close()
    assert BagReader(folder).first('/image').encoding == 'mono8'


def test_mcap_reads_no_chunk_but_the_one_it_needs(bag_maker):
    # Each of these images is larger than the 1 MiB at which rosbags ends a chunk.
    images = [
        bag_maker.image(np.full((1001, 1301), i, np.uint8), 'mono8', i * SECOND) for i in range(3)
    ]
    folder = bag_maker.write([('/image', image) for image in images])
    file = file_of(folder, 'mcap')
    content = file.read_bytes()
    pixels = bytes([1]) * 1301
    assert pixels in content
    # A message of absurd length where the second image was: whoever reads it stumbles.
    at = content.index(pixels) - 80
    file.write_bytes(content[:at] + b'\xff' * 2000 + content[at + 2000 :])
    reader = BagReader(folder)
    for i in (2, 0):
        assert reader.message('/image', i * SECOND + 5_000_000, i * SECOND).data[-1] == i
    with pytest.raises(ValueError, match=r'bag, which cannot be read \('):
        reader.message('/image', SECOND + 5_000_000, SECOND)


def without_chunks(content):
    """The same MCAP, its only chunk unpacked and its index left out."""
    header_end = 8 + 9 + struct.unpack_from('<Q', content, 9)[0]
    assert content[header_end] == 0x06
    # opcode and length 9, times 16, size 8, checksum 4, compression '' 4, then the records' length
    (length,) = struct.unpack_from('<Q', content, header_end + 9 + 32)
    start = header_end + 9 + 40
    data_end = struct.pack('<BQI', 0x0F, 4, 0)
    footer = struct.pack('<BQQQI', 0x02, 20, 0, 0, 0)
    magic = content[:8]
    return content[:header_end] + content[start : start + length] + data_end + footer + magic


def test_mcap_without_chunks_is_read_slowly_and_says_so(bag_maker, caplog):
    file = file_of(write(bag_maker), 'mcap')
    BagReader(file).message('/image', 3 * SECOND + 5_000_000, 3 * SECOND)
    assert not caplog.text
    file.write_bytes(without_chunks(file.read_bytes()))
    reader = BagReader(file)
    for _ in range(2):
        assert reader.message('/image', 3 * SECOND + 5_000_000, 3 * SECOND).data[0] == 3
    (record,) = caplog.records
    assert 'bag.mcap is MCAP without chunks, so that each image is searched' in record.message


def test_paths_that_are_no_recording(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'got .*absent, expected a rosbag2 recording'):
        BagReader(tmp_path / 'absent')
    with pytest.raises(FileNotFoundError, match=r'without metadata.yaml, .*; make it with ros2 '):
        BagReader(tmp_path)
    for name, message in (
        ('old.bag', r'old.bag, which cannot be read .*, expected a whole recording'),
        ('notes.txt', r'notes.txt, expected a recording: the folder of rosbag2, or a .db3, .mcap'),
    ):
        (tmp_path / name).write_text('no recording')
        with pytest.raises(ValueError, match=message):
            BagReader(tmp_path / name)


@pytest.mark.parametrize('name', ['foreign.db3', 'foreign.mcap'])
@pytest.mark.parametrize('content', [b'', b'no recording' * 500])
def test_foreign_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    message = f'got .*{name}, which cannot be read .*, expected a whole recording; copy it'
    with pytest.raises(ValueError, match=message):
        BagReader(tmp_path / name)


@STORAGES
@pytest.mark.parametrize('is_folder', [True, False])
@pytest.mark.parametrize('share', [0.02, 0.5, 0.98])
def test_recordings_that_were_cut_short(bag_maker, storage, is_folder, share):
    folder = write(bag_maker, storage=storage, count=100)
    file = file_of(folder, storage)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    path = folder if is_folder else file
    with pytest.raises(ValueError, match=f'got {path}, which cannot be read'):
        list(BagReader(path).messages(['/image']))


def test_a_folder_whose_file_is_missing(bag_maker):
    folder = write(bag_maker)
    file_of(folder, 'mcap').unlink()
    with pytest.raises(ValueError, match=r'bag, which cannot be read .*files are missing'):
        BagReader(folder)


@pytest.mark.parametrize('content', ['', '[', 'rosbag2_bagfile_information: {version: 99}'])
def test_a_folder_with_foreign_metadata(bag_maker, content):
    folder = write(bag_maker)
    (folder / 'metadata.yaml').write_text(content)
    with pytest.raises(ValueError, match=r'bag, which cannot be read'):
        BagReader(folder)


def test_rosbags_that_is_not_there(bag_maker, monkeypatch):
    folder = write(bag_maker)
    monkeypatch.setitem(sys.modules, 'rosbags.highlevel', None)
    message = r'got no rosbags, expected it for recordings; pip install mirror_depth_ros\[bag\]'
    with pytest.raises(ModuleNotFoundError, match=message):
        BagReader(folder)
