import threading

from mirror_depth_ros.ros.mailbox import Mailbox, Worker

PATIENCE_S = 5.0


def test_the_newest_item_wins_and_says_that_it_took_a_place():
    mailbox = Mailbox()
    assert [mailbox.put(item) for item in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == 3
    assert not mailbox.put(4)


def test_a_closed_mailbox_forgets_and_lets_readers_go():
    mailbox = Mailbox()
    mailbox.put(1)
    mailbox.close()
    assert not mailbox.put(2)
    assert mailbox.take() is None


def test_a_slow_worker_gets_the_newest_item_next():
    taken, busy, go_on, done = [], threading.Event(), threading.Event(), threading.Event()

    def work(item):
        taken.append(item)
        busy.set()
        assert go_on.wait(PATIENCE_S)
        if item == 4:
            done.set()

    worker = Worker(work, name='test')
    worker.mailbox.put(1)
    assert busy.wait(PATIENCE_S)
    assert [worker.mailbox.put(item) for item in (2, 3, 4)] == [False, True, True]
    go_on.set()
    assert done.wait(PATIENCE_S)
    assert worker.stop(timeout_s=PATIENCE_S)
    assert taken == [1, 4]


def test_stopping_does_not_wait_longer_than_told():
    go_on, busy = threading.Event(), threading.Event()

    def work(item):
        busy.set()
        go_on.wait(PATIENCE_S)

    worker = Worker(work, name='test')
    worker.mailbox.put(1)
    assert busy.wait(PATIENCE_S)
    assert not worker.stop(timeout_s=0.01)
    go_on.set()
    assert worker.stop(timeout_s=PATIENCE_S)
