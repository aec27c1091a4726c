#!/bin/sh
# Find a Python that can install and run Vedette, and print its path.
#
# Usage: preflight.sh [PYTHON]
# PYTHON (default python3) is preferred, then any newer one on the PATH. When something is missing, it prints one list of
# all that is missing and how to get it, and exits with status 1.

set -u
wanted=${1:-python3}
missing=""

need() { # need WHAT HOW
    missing="$missing
  - $1
      $2"
}

recent_enough() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=""
for candidate in "$wanted" python3.14 python3.13 python3.12 python3.11 python3; do
    if recent_enough "$candidate"; then
        python=$("$candidate" -c 'import sys; print(sys.executable)')
        break
    fi
done

if [ -z "$python" ]; then
    found=$("$wanted" -c 'import platform; print(platform.python_version())' 2>/dev/null) || found=none
    need "Python 3.11 or newer ($wanted is: $found)" \
        "Debian, Ubuntu: apt install python3 python3-venv; Fedora: dnf install python3.12; macOS: brew install python@3.12
      Already there under another name? Say which: make PYTHON=/path/to/python3.12"
else
    [ "$python" = "$("$wanted" -c 'import sys; print(sys.executable)' 2>/dev/null)" ] ||
        echo "preflight: $wanted is missing or older than Python 3.11; using $python" >&2
    for module in venv ensurepip; do
        "$python" -c "import $module" 2>/dev/null ||
            need "Python's module '$module'" "Debian, Ubuntu: apt install $(basename "$python")-venv"
    done
    for module in ssl zlib; do
        "$python" -c "import $module" 2>/dev/null ||
            need "Python's module '$module'" "a Python built with it, as every distribution's own is"
    done
fi

[ -w . ] || need "a writable directory ($(pwd))" "clone into a directory of yours"

if [ -n "$missing" ]; then
    printf 'Vedette cannot be set up here yet. Missing:\n%s\n' "$missing" >&2
    exit 1
fi
echo "$python"
