#!/usr/bin/env bash
# Builds the pjsua2 wheel (the SIP library that the engine stands on) and keeps it in a cache.
#
#   requirements/pjsua2.sh find PYTHON    print the cached wheel for this interpreter; fails if there is none
#   requirements/pjsua2.sh build PYTHON   build that wheel into the cache unless it is there
#   requirements/pjsua2.sh check PYTHON   load the library and start it once
#
# Wheels on package indexes allow four call legs, so the library is compiled here with limits for a router.
# The source comes from Debian's source package "asterisk", which carries all of pjproject as one of its tarballs;
# PJPROJECT_SOURCE=<folder or tarball> names another copy.
set -euo pipefail

readonly MINIMUM=2.17
readonly NEEDED_MB=500
readonly LIBRARY_CFLAGS="-O2 -fPIC -DNDEBUG"
# The generated wrapper is one huge file that runs no inner loop: -O1 halves the time and the memory it takes.
readonly WRAPPER_CFLAGS="-O1 -g0"
# Debian leaves out bundled third-party code, so SRTP and Speex come from the system.
readonly CONFIGURE=(
    --enable-epoll --disable-video --disable-sound --disable-libyuv --disable-libwebrtc --disable-libwebrtc-aec3
    --enable-speex-resample --with-external-speex --with-external-srtp --disable-gsm-codec --disable-ilbc-codec
    --disable-g7221-codec --disable-upnp
)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cordboard/pjsua2
command=${1:-}
python=${2:-python3}
log=$cache/build.log

fail() {
    echo "cordboard: $*" >&2
    exit 1
}

wheel_key() {
    local config
    config=$({ cat "$here/pjsua2_config_site.h" "$here/pjsua2.patch"; printf '%s\n' "${CONFIGURE[@]}" "$LIBRARY_CFLAGS" "$WRAPPER_CFLAGS"; } | sha256sum)
    "$python" -c 'import platform, sys, sysconfig
print(sys.argv[1][:12], sysconfig.get_config_var("SOABI"), platform.machine(), sep="-")' "$config"
}

find_wheel() {
    local wheel
    wheel=$(find "$cache" -mindepth 2 -maxdepth 2 -path "$cache/*-$(wheel_key)/pjsua2-*.whl" 2>/dev/null | sort -V | tail -n 1)
    [[ -n $wheel ]] && echo "$wheel"
}

check_library() {
    "$python" - <<'PYTHON'
import pjsua2

config = pjsua2.EpConfig()
config.logConfig.level = config.logConfig.consoleLevel = 0
config.uaConfig.threadCnt = 0
config.uaConfig.mainThreadOnly = True
config.uaConfig.maxCalls = 1024
endpoint = pjsua2.Endpoint()
endpoint.libCreate()
endpoint.libInit(config)
endpoint.libDestroy()
PYTHON
}

# Runs one step of the build: a line when it starts and its seconds when it ends, everything it prints in the log.
phase() {
    local title=$1 start=$SECONDS status
    shift
    printf '  %-42s' "$title"
    # Not inside an `if`: that would switch `set -e` off in the steps.
    set +e
    (set -e; "$@") >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    if ((status)); then
        echo failed
        tail -n 15 "$log" >&2
        fail "building pjsua2 failed at '$title'; the whole log is $log"
    fi
    echo "$((SECONDS - start)) s"
}

apt_private() {
    apt-get -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Acquire::Languages=none "$@"
}

# Asks the machine's own mirror for a newer suite, in lists and a cache of our own: the machine's apt stays as it is.
# A mirror may be older than its Release file allows, so dates are not checked; signatures are.
download_from_suite() {
    local suite=$1 component=$2 mirror=$3 keyring=$4
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/download"
    echo "deb-src [check-valid-until=no${keyring:+ signed-by=$keyring}] $mirror $suite $component" >"$work/sources.list"
    apt_private update && cd "$work/download" && apt_private source --download-only asterisk
}

os_release() {
    sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" /etc/os-release
}

download_source() {
    local id codename mirror keyring suite tarball
    id=$(os_release ID)
    codename=$(os_release VERSION_CODENAME)
    # shellcheck disable=SC2016 # apt-get fills these in
    mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
        awk -v want="$codename" 'NR == 1 { first = $2 } $1 == want { print $2; found = 1; exit } END { if (!found) print first }')
    keyring=$(find /usr/share/keyrings -name "$id-archive-keyring.*" | sort | tail -n 1)
    local suites=(sid forky) component=main
    if [[ $id == ubuntu ]]; then
        suites=(devel) component=universe
    fi
    for suite in "${suites[@]}"; do
        (download_from_suite "$suite" "$component" "$mirror" "$keyring") || continue
        tarball=$(find "$work/download" -name 'asterisk_*.orig-Xpjproject.tar.*' | head -n 1)
        [[ -z $tarball ]] || { unpack "$tarball"; return; }
    done
    echo "No suite of the machine's mirror gave pjproject: set PJPROJECT_SOURCE to a folder or tarball of pjproject $MINIMUM or newer."
    return 1
}

unpack() {
    mkdir -p "$work/source"
    tar -xf "$1" -C "$work/source" --strip-components=1
}

copy_source() {
    if [[ -d $PJPROJECT_SOURCE ]]; then
        mkdir -p "$work/source" && cp -R "$PJPROJECT_SOURCE/." "$work/source/"
    else
        unpack "$PJPROJECT_SOURCE"
    fi
}

source_version() {
    sed -n 's/^export PJ_VERSION_\(MAJOR\|MINOR\|REV\) *:= *\([0-9][0-9]*\).*/\2/p' "$work/source/version.mak" | paste -sd.
}

# No fuzz: a change that only nearly fits may land in the wrong function.
patch_source() {
    cd "$work/source"
    if ! patch --strip=1 --fuzz=0 --forward <"$here/pjsua2.patch"; then
        echo "requirements/pjsua2.patch does not fit this pjproject: adapt it, or set PJPROJECT_SOURCE to pjproject 2.17"
        return 1
    fi
}

configure_library() {
    cd "$work/source"
    cp "$here/pjsua2_config_site.h" pjlib/include/pj/config_site.h
    # Debian removes this file for its licence while the makefile still names it; nothing uses what was in it.
    [[ -e pjmedia/src/pjmedia-audiodev/bdimad_dev.c ]] || : >pjmedia/src/pjmedia-audiodev/bdimad_dev.c
    CFLAGS=$LIBRARY_CFLAGS ./configure "${CONFIGURE[@]}"
}

compile_library() {
    cd "$work/source" && make dep && make -j"$(nproc)" lib
}

prepare_build_tools() {
    "$python" -m venv "$work/venv" && "$work/venv/bin/python" -m pip install --require-hashes -r "$here/build.txt"
}

compile_wrapper() {
    cd "$work/source/pjsip-apps/src/swig/python"
    CFLAGS=$WRAPPER_CFLAGS make wheel PYTHON_EXE="$work/venv/bin/python"
}

check_wheel() {
    "$work/venv/bin/python" -m pip install --no-index "$work"/source/pjsip-apps/src/swig/python/dist/pjsua2-*.whl &&
        python=$work/venv/bin/python check_library
}

refuse_bad_source() {
    [[ -z ${PJPROJECT_SOURCE:-} || -r $PJPROJECT_SOURCE ]] ||
        fail "PJPROJECT_SOURCE=$PJPROJECT_SOURCE cannot be read; it must be a pjproject folder or tarball"
    [[ -n ${PJPROJECT_SOURCE:-} ]] || command -v apt-get >/dev/null ||
        fail "this system has no apt-get: set PJPROJECT_SOURCE to a folder or tarball of pjproject $MINIMUM or newer"
}

refuse_full_disk() {
    local free
    free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
    ((free >= NEEDED_MB)) || fail "building pjsua2 needs $NEEDED_MB MB in $cache, and $free MB are free; XDG_CACHE_HOME moves it"
}

get_source() {
    if [[ -n ${PJPROJECT_SOURCE:-} ]]; then
        phase "Copying pjproject" copy_source
    else
        phase "Downloading pjproject" download_source
    fi
    [[ -r $work/source/version.mak ]] || fail "this is no source of pjproject (version.mak is missing): ${PJPROJECT_SOURCE:-the download}"
    version=$(source_version)
    [[ $(printf '%s\n' "$MINIMUM" "$version" | sort -V | head -n 1) == "$MINIMUM" ]] ||
        fail "pjproject $version is too old, $MINIMUM is needed: set PJPROJECT_SOURCE to a folder or tarball of it"
}

build_wheel() {
    local folder
    # The lock is ours, so folders that are left belong to builds that were killed.
    rm -rf "$cache"/build.??????
    work=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    : >"$log"
    echo "Building pjsua2, once for this user (log: $log)"
    get_source
    phase "Patching pjproject $version" patch_source
    phase "Configuring pjproject $version" configure_library
    phase "Compiling the library" compile_library
    phase "Preparing the Python build" prepare_build_tools
    phase "Compiling the Python module (the longest)" compile_wrapper
    phase "Trying it" check_wheel
    folder=$cache/$version-$(wheel_key)
    mkdir -p "$folder"
    mv "$work"/source/pjsip-apps/src/swig/python/dist/pjsua2-*.whl "$folder/"
}

case $command in
    find) find_wheel ;;
    check) check_library ;;
    build)
        refuse_bad_source
        mkdir -p "$cache"
        refuse_full_disk
        # Two checkouts that start together share one build.
        exec 9>"$cache/lock"
        flock 9
        if ! find_wheel >/dev/null; then
            build_wheel
        fi
        ;;
    *) fail "usage: requirements/pjsua2.sh find|build|check PYTHON" ;;
esac
