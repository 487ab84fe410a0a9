#!/usr/bin/env bash
# Build the image where no container engine runs and no registry of images can be reached: a base
# made by debootstrap, layers made by buildah in a chroot. About two minutes, as root, on Debian.
#     deploy/build-image.sh [TAG] [EXTRAS]
# Programs: apt-get install debootstrap buildah podman. If PIP_CONFIG_FILE is set, pip in the image
# reads it while it installs; so with CA_BUNDLE, the authorities of a site whose proxy has its own.
# Neither is kept. DEBIAN_MIRROR names another mirror. A base that was made before is used again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tag=${1:-c2s:latest} extras=${2:-obstore,s3}
for program in debootstrap buildah podman; do
    command -v "$program" >/dev/null ||
        { echo "$program is missing: apt-get install debootstrap buildah podman" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root: run this as root" >&2; exit 1; }
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=chroot
base=localhost/c2s-base:bookworm
if ! podman image exists "$base"; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm \
        "$work/system" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
    tar -C "$work/system" -c . | podman import - "$base"
fi
volume=()
[ -z "${PIP_CONFIG_FILE:-}" ] || volume=(--volume "$PIP_CONFIG_FILE:/etc/pip.conf:ro")
[ -z "${CA_BUNDLE:-}" ] ||
    volume+=(--volume "$CA_BUNDLE:/etc/ssl/certs/ca-certificates.crt:ro")
buildah bud --isolation chroot --network host "${volume[@]}" -f deploy/Dockerfile -t "$tag" \
    --build-arg "BASE=$base" --build-arg "EXTRAS=$extras" .
container=$(buildah from "$tag")
buildah run --isolation chroot "$container" -- c2s-data --help >/dev/null
[ "$(buildah run --isolation chroot "$container" -- id -u)" = 10001 ]
buildah rm "$container" >/dev/null
echo "$tag is built, runs its command, and is not root"
