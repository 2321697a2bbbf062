"""Make the project's own Python, `.venv`, hold what a requirements file asks for.

Needs nothing but the standard library, since it runs before anything is installed. Does nothing
when the file is the one that was installed last; pip's environment variables are honoured.
"""

import fcntl
import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
TRIED = ((3, 11), (3, 12))  # all tests pass


def main(requirements: str) -> None:
    """Install `requirements`, a file of the project's root, if that has not been done."""
    files = [ROOT / name for name in included(ROOT / requirements)]
    if all(installed(file) for file in files):
        return
    with (ROOT / ".venv.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another command that sets up .venv", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if all(installed(file) for file in files):  # by whoever held the lock
            return
        if sys.version_info[:2] not in TRIED:
            found = ".".join(map(str, sys.version_info[:2]))
            print(f"Python {found} was never tried with this project.", file=sys.stderr)
        create_venv()
        install(requirements)
        for file in files:
            stamp(file).write_text(digest(file), encoding="utf-8")


def included(file: Path) -> list[str]:
    """Return the file's name and those of the requirements files that it includes."""
    names = re.findall(r"^-r (\S+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [file.name, *names]


def digest(file: Path) -> str:
    """Return a hash of everything that decides what is installed."""
    parts = [file.read_bytes(), (ROOT / "constraints.txt").read_bytes(), made_by().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def made_by() -> str:
    """Return what `.venv` depends on: its own place, which its scripts name, and its Python."""
    return f"{VENV}\n{sys.version}\n"


def stamp(file: Path) -> Path:
    """Return the path of the note that a requirements file was installed."""
    return VENV / f".installed-{file.stem}"


def installed(file: Path) -> bool:
    """Tell whether the file, as it is now, was installed by this Python."""
    try:
        return PYTHON.exists() and stamp(file).read_text(encoding="utf-8") == digest(file)
    except OSError:
        return False


def create_venv() -> None:
    """Create `.venv`, anew when another Python made it or when it was moved."""
    if VENV.is_symlink():  # another checkout's: --clear would empty that one
        sys.exit(f"error: {VENV} is a link; remove it, a .venv belongs to one checkout")
    note = VENV / ".made-by"
    if PYTHON.exists() and note.exists() and note.read_text(encoding="utf-8") == made_by():
        return
    print(f"Creating {VENV}", file=sys.stderr)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stdout + result.stderr).strip().splitlines() or ["no message"]
        sys.exit(f"error: {VENV} could not be created: {reason(lines)}")
    note.write_text(made_by(), encoding="utf-8")


def install(requirements: str) -> None:
    """Run pip, show what it says, and end with one clear line when it fails."""
    print(f"Installing {requirements} (the first time this takes minutes)", file=sys.stderr)
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--requirement", requirements]
    # stdout is for the command that comes after; pip's progress goes where ours goes.
    with subprocess.Popen(
        command, cwd=ROOT, stdout=sys.stderr, stderr=subprocess.PIPE, text=True
    ) as pip:
        lines = []
        for line in pip.stderr or ():
            print(line, end="", file=sys.stderr)
            lines.append(line.strip())
    if pip.returncode != 0:
        sys.exit(f"error: {requirements} could not be installed: {reason(lines)}")


def reason(lines: list[str]) -> str:
    """Return the line that says most about a failure."""
    if any("No space left on device" in line for line in lines):
        return "the disk is full"
    if any("ensurepip" in line for line in lines):
        return "this Python lacks ensurepip; install it (on Debian: apt install python3-venv)"
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1]


if __name__ == "__main__":
    main(sys.argv[1])
