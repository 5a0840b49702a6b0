import threading

from mirror_depth_ros.ros.mailbox import Mailbox, Worker

PATIENCE_S = 5.0


def test_the_newest_item_wins_and_says_that_it_took_a_place():
    mailbox = Mailbox()
    assert [mailbox.put('a', item) for item in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == {'a': 3}
    assert not mailbox.put('a', 4)


def test_senders_replace_only_their_own():
    mailbox = Mailbox()
    assert not mailbox.put('slow', 1)
    assert [mailbox.put('fast', item) for item in (2, 3, 4)] == [False, True, True]
    assert mailbox.take() == {'slow': 1, 'fast': 4}
    assert not mailbox.put('slow', 5)
    assert mailbox.take() == {'slow': 5}


def test_who_has_waited_longest_comes_first():
    mailbox = Mailbox()
    for sender, item in (('b', 1), ('a', 2), ('b', 3)):
        mailbox.put(sender, item)
    assert list(mailbox.take().items()) == [('b', 3), ('a', 2)]


def test_a_closed_mailbox_forgets_and_lets_readers_go():
    mailbox = Mailbox()
    mailbox.put('a', 1)
    mailbox.close()
    assert not mailbox.put('a', 2)
    assert mailbox.take() is None


def test_a_slow_worker_gets_the_newest_items_next():
    taken, busy, go_on, done = [], threading.Event(), threading.Event(), threading.Event()

    def work(items):
        taken.append(items)
        busy.set()
        assert go_on.wait(PATIENCE_S)
        if items.get('a') == 4:
            done.set()

    worker = Worker(work, name='test')
    worker.mailbox.put('a', 1)
    assert busy.wait(PATIENCE_S)
    worker.mailbox.put('b', 7)
    assert [worker.mailbox.put('a', item) for item in (2, 3, 4)] == [False, True, True]
    go_on.set()
    assert done.wait(PATIENCE_S)
    assert worker.stop(timeout_s=PATIENCE_S)
    assert taken == [{'a': 1}, {'b': 7, 'a': 4}]


def test_stopping_does_not_wait_longer_than_told():
    go_on, busy = threading.Event(), threading.Event()

    def work(items):
        busy.set()
        go_on.wait(PATIENCE_S)

    worker = Worker(work, name='test')
    worker.mailbox.put('a', 1)
    assert busy.wait(PATIENCE_S)
    assert not worker.stop(timeout_s=0.01)
    go_on.set()
    assert worker.stop(timeout_s=PATIENCE_S)
