import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from mirror_depth_ros.cli import processes
from mirror_depth_ros.cli.processes import ChildFailedError, Children

STUBBORN = (
    'import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True)'
)


def python(code):
    return [sys.executable, '-c', code]


def wait_for_end(child):
    child.process.wait(10)


def test_names_status_log_and_last_words_of_a_crash(tmp_path):
    with Children(tmp_path, os.environ) as children:
        child = children.start('depth node', python('import sys; sys.exit("no GPU here")'))
        wait_for_end(child)
        with pytest.raises(
            ChildFailedError, match=r'(?s)depth node ended with status 1.*_node.log'
        ):
            child.check_running()
        with pytest.raises(ChildFailedError, match='no GPU here'):
            child.check_success()


def test_quotes_what_a_child_says_of_its_own_failure(tmp_path):
    with Children(tmp_path, os.environ) as children:
        child = children.start('recorder', python('import sys; sys.exit("recorder: disk full")'))
        raising = children.start('other', python('raise RuntimeError("disk full")'))
        wait_for_end(child)
        wait_for_end(raising)
        with pytest.raises(ChildFailedError, match='^The recorder says: disk full$'):
            child.check_success()
        with pytest.raises(ChildFailedError, match='(?s)^The other ended with .*Traceback'):
            raising.check_success()


def test_reports_an_error_that_a_living_process_logs(tmp_path):
    complaint = 'print("[ERROR] [1.2] [node]: got no such model", flush=True)'
    code = f'import time; {complaint}; time.sleep(60)'
    with Children(tmp_path, os.environ) as children:
        child = children.start('node', python(code))
        deadline = time.monotonic() + 10
        while not child.last_message():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.check_running()
        with pytest.raises(ChildFailedError, match='^The node says: got no such model$'):
            child.check_no_error()


def test_stops_all_children_even_stubborn_ones_when_something_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, '_GRACE_S', 0.5)
    started = []

    def fail():
        with Children(tmp_path, os.environ) as children:
            started.append(children.start('quick', python('import time; time.sleep(60)')))
            code = f'{STUBBORN}; time.sleep(60)'
            started.append(children.start('stubborn', python(code), read_output=True))
            started[1].process.stdout.readline()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert started[0].process.poll() is not None
    assert started[1].process.poll() == -signal.SIGTERM


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='uses prctl')
def test_children_die_with_a_parent_that_is_killed(tmp_path):
    code = (
        'import os, sys, pathlib\n'
        'from mirror_depth_ros.cli.processes import Children\n'
        'with Children(pathlib.Path(sys.argv[1]), os.environ) as children:\n'
        '    child = children.start("c", [sys.executable, "-c", "import time; time.sleep(60)"])\n'
        '    print(child.process.pid, flush=True)\n'
        '    child.process.wait()\n'
    )
    with Children(tmp_path, os.environ) as children:
        parent = children.start('p', [*python(code), str(tmp_path)], read_output=True)
        pid = int(parent.process.stdout.readline())
        parent.process.kill()
        parent.process.wait()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def is_alive(pid):
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_sigterm_ends_a_block_as_ctrl_c_does():
    code = """
        import signal
        from mirror_depth_ros.cli.processes import interruptible
        try:
            with interruptible():
                signal.raise_signal(signal.SIGTERM)
                print('nothing was interrupted')
        except KeyboardInterrupt:
            print('interrupted', signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
    """
    done = subprocess.run(python(textwrap.dedent(code)), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, 'interrupted True\n'), done.stderr
