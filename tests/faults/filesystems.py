"""File systems of a test's own, small and real, and what can befall them: full, out of inodes, read-only, gone."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import sys

KIB, MIB = 1024, 1024 * 1024
_IN_NAMESPACE = "FAULTS_MOUNT_NAMESPACE"
_EXT4_IOC_SHUTDOWN = 0x8004587D


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=True, capture_output=True, text=True)


def enter_namespace() -> str:
    """Goes on in a mount namespace of its own, which ends with all that it mounts; else says why it can't."""
    if os.geteuid() != 0:
        return "needs root"
    if os.environ.get(_IN_NAMESPACE):
        return ""
    words = ["unshare", "-m", "--propagation", "private"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        return "no mount namespace is to be had here"
    os.environ[_IN_NAMESPACE] = "1"
    os.execvp("unshare", [*words, sys.executable, *sys.argv])


class FileSystem:
    """Mounted on a folder, with a folder inside for the test; `root` is the mount."""

    name = ""

    def __init__(self, root: str, size: int = 0, inodes: int = 0):
        self.root = root
        self.size = size
        self.inodes = inodes
        os.makedirs(root, exist_ok=True)
        self.make()
        self.mount()

    def make(self) -> None:
        pass

    def mount(self) -> None:
        raise NotImplementedError

    @classmethod
    def lacking(cls, folder: str) -> str:
        """Why there is none here; tried once."""
        try:
            tried = cls(os.path.join(folder, "try-" + cls.name))
            tried.unmount()
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            return f"{cls.name} can't be mounted here: {' '.join(said.split())}"
        return ""

    def remount(self, options: str) -> None:
        run("mount", "-o", "remount," + options, self.root)

    def unmount(self, lazily: bool = False) -> None:
        run("umount", *(["-l"] if lazily else []), self.root)

    def sync(self) -> None:
        """This one, and no other of the machine's."""
        fd = os.open(self.root, os.O_RDONLY)
        ctypes.CDLL(None).syncfs(fd)
        os.close(fd)

    @property
    def filler(self) -> str:
        return os.path.join(self.root, "filler")

    def fill(self, leave: int) -> None:
        """Until no more than LEAVE bytes are free: what is free then is what can be had, not what is told."""
        os.makedirs(self.filler, exist_ok=True)
        with open(os.path.join(self.filler, "leave"), "wb") as spare:
            try:
                spare.write(b"x" * leave)
                spare.flush()
                os.fsync(spare.fileno())
            except OSError:
                pass
        with open(os.path.join(self.filler, "all"), "ab", buffering=0) as f:
            size = MIB
            while size >= 512:
                try:
                    f.write(b"x" * size)
                    os.fsync(f.fileno())
                except OSError:
                    size //= 2
        os.unlink(os.path.join(self.filler, "leave"))
        self.sync()

    def fill_inodes(self, leave: int) -> None:
        os.makedirs(self.filler, exist_ok=True)
        n = 0
        try:
            while True:
                os.close(os.open(os.path.join(self.filler, f"inode-{n}"), os.O_CREAT | os.O_WRONLY))
                n += 1
        except OSError:
            pass
        for i in range(min(leave, n)):
            os.unlink(os.path.join(self.filler, f"inode-{i}"))

    def relieve(self) -> None:
        shutil.rmtree(self.filler, ignore_errors=True)
        self.sync()


class Tmpfs(FileSystem):
    name = "tmpfs"

    def mount(self) -> None:
        options = f"size={self.size or MIB},mode=700" + (f",nr_inodes={self.inodes}" if self.inodes else "")
        run("mount", "-t", "tmpfs", "-o", options, "none", self.root)


class Loop(FileSystem):
    """On an image beside the mount's folder; the kernel drops the device with the mount."""

    options = "loop"

    @property
    def image(self) -> str:
        return self.root + ".image"

    def make(self) -> None:
        with open(self.image, "wb") as f:
            f.truncate(self.size or self.least)
        self.make_file_system()

    def make_file_system(self) -> None:
        raise NotImplementedError

    def mount(self) -> None:
        run("mount", "-o", self.options, self.image, self.root)
        os.chmod(self.root, 0o700)

    least = MIB


class Ext4(Loop):
    name = "ext4"
    options = "loop,errors=remount-ro"
    least = 8 * MIB

    def make_file_system(self) -> None:
        run("mkfs.ext4", "-q", "-F", "-m", "0", *(["-N", str(self.inodes)] if self.inodes else []), self.image)

    @property
    def device(self) -> str:
        return os.path.basename(run("findmnt", "-n", "-o", "SOURCE", self.root).stdout.strip())

    def break_down(self) -> None:
        """An error in its structures: as mounted, it goes read-only by itself."""
        with open(f"/sys/fs/ext4/{self.device}/trigger_fs_error", "w", encoding="ascii") as f:
            f.write("a test")
        # It does so in its own time.
        while True:
            try:
                os.close(os.open(os.path.join(self.root, "writable"), os.O_CREAT | os.O_WRONLY))
            except OSError:
                return

    def cut_off(self) -> None:
        """As if its device was gone: whatever is asked of it fails."""
        fd = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", 2))
        finally:
            os.close(fd)

    def mend(self) -> None:
        """Checked and mounted again, as after the disk was changed."""
        self.unmount(lazily=True)
        subprocess.run(["e2fsck", "-fy", self.image], check=False, capture_output=True)
        self.mount()


class Btrfs(Loop):
    """With a quota on a subvolume, which is what `root` leads to."""

    name = "btrfs"
    least = 114 * MIB

    def make_file_system(self) -> None:
        run("mkfs.btrfs", "-q", self.image)

    def mount(self) -> None:
        super().mount()
        if not os.path.isdir(self.volume):
            run("btrfs", "subvolume", "create", self.volume)
            run("btrfs", "quota", "enable", self.root)
        os.chmod(self.volume, 0o700)

    @property
    def volume(self) -> str:
        return os.path.join(self.root, "volume")

    def limit(self, size: str) -> None:
        """By the group's number (a file system's first subvolume), as the path of a full one is full for this, too."""
        self.sync()
        run("btrfs", "qgroup", "limit", size, "0/256", self.root)

    def lift(self) -> None:
        self.limit("none")
