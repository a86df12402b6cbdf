"""Runs a program on a real pseudo-terminal, as a session of its own, under the control of commands on standard input.

terminal.py COLUMNS ROWS NAMES PROGRAM [ARGUMENT...]

NAMES (such as stdin,stderr) are on the terminal; the others are /dev/null and the descriptors 3 (stdout) and 4 (stderr).
What appears on the terminal goes to standard output. Commands, one a line: `size COLUMNS ROWS`, `pause` and `read` (whether
the terminal's output is taken), `type HEX`, `hangup`, `signal NUMBER`; each is answered with a byte on descriptor 5 when it is
done. At the end of the commands the program is killed. Ends as the program ends.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios


def set_size(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def start(slave, names, argv):
    pid = os.fork()
    if pid != 0:
        return pid
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    null = os.open("/dev/null", os.O_RDWR)
    for fd, (name, other) in enumerate([("stdin", null), ("stdout", 3), ("stderr", 4)]):
        os.dup2(slave if name in names else other, fd)
    os.closerange(3, 256)
    os.execvp(argv[0], argv)


def relay(master, pid):
    reading, pending = True, b""
    while True:
        wanted = [0] + ([master] if reading and master is not None else [])
        ready, _, _ = select.select(wanted, [], [], 0.02)
        if master in ready:
            try:
                os.write(1, os.read(master, 65536))
            except OSError:
                reading = False
        if 0 in ready:
            piece = os.read(0, 65536)
            if piece == b"":
                os.kill(pid, signal.SIGKILL)
                os._exit(0)
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                verb, *values = line.decode().split()
                if verb == "size":
                    set_size(master, int(values[0]), int(values[1]))
                elif verb == "type":
                    os.write(master, bytes.fromhex(values[0]))
                elif verb == "hangup":
                    os.close(master)
                    master = None
                elif verb == "signal":
                    os.kill(pid, int(values[0]))
                else:
                    reading = verb == "read"
                os.write(5, b".")
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended != 0:
            return master, status


def drain(master):
    try:
        while select.select([master], [], [], 0)[0]:
            os.write(1, os.read(master, 65536))
    except OSError:
        pass


def main():
    columns, rows, names, *argv = sys.argv[1:]
    master, slave = pty.openpty()
    set_size(master, int(columns), int(rows))
    pid = start(slave, names.split(","), argv)
    os.close(slave)
    os.close(3)
    os.close(4)
    master, status = relay(master, pid)
    if master is not None:
        drain(master)
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


main()
