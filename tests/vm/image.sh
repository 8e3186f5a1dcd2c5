#!/bin/bash
# Make the guest: image.sh DIR writes the root filesystem image, two kernels with their initrds, and the ssh key to DIR.
# `lab build` calls it as root in a mount namespace of its own, so that no mount outlives it.
# The recipe is this file, packages.txt, initrd-init and guest/ (copied over the guest's root): a change in any of them
# makes `lab build` build anew.
set -euo pipefail
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# The newer kernel is built without the v1 memory and cpuset controllers, so hybrid and legacy boot the older suite's.
SUITE=trixie
SUITE_V1=bookworm
SIZE=16G # sparse

HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$1
R=$DIR/root

# Daemons that domains.sh starts on demand, and what only delays the boot of a machine that lives for one test run.
OFF=(
  libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirt-guests.service
  docker.service docker.socket containerd.service podman.service podman.socket podman-restart.service
  podman-auto-update.timer incus.service incus.socket incus-user.socket incus-startup.service lxd.service lxd.socket
  lxcfs.service incus-lxcfs.service lxd-agent.service dnsmasq.service nftables.service rsync.service
  virtlogd.service virtlogd.socket virtlogd-admin.socket lxc.service lxc-net.service lxc-monitord.service
  apparmor.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
  fstrim.timer getty@tty1.service logrotate.timer systemd-networkd.service systemd-network-generator.service
  systemd-networkd.socket systemd-networkd-wait-online.service systemd-pstore.service
)
MASKED=(
  ldconfig.service sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service systemd-firstboot.service
  systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-tpm2-setup.service
  systemd-tpm2-setup-early.service systemd-update-done.service
)

step() { printf '== %s %s\n' "$(date +%T)" "$*"; }
in_guest() { chroot "$R" "$@"; }

mirror() { # the Debian mirror that this machine itself uses
  local uri
  # shellcheck disable=SC2016  # $(REPO_URI) is apt's
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sort -u | sed 1q)
  if [ -z "$uri" ]; then
    echo "image.sh: apt here knows no Debian mirror (apt-get update?)" >&2
    return 1
  fi
  echo "$uri"
}

bootstrap() {
  local from
  from=$(mirror)
  step "debootstrap $SUITE"
  debootstrap --variant=minbase "$SUITE" "$R" "$from"
  cp -r "$HERE/guest/." "$R/"
  printf 'deb %s %s main\n' "$from" "$SUITE" "$from" "$SUITE_V1" >"$R/etc/apt/sources.list"
  # the older suite is there for its kernel alone
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 1\n' "$SUITE_V1" >"$R/etc/apt/preferences.d/older"
  mount -t proc proc "$R/proc"
  mount -t sysfs -o ro sysfs "$R/sys"
  mount --bind /dev "$R/dev"
  cp -L /etc/resolv.conf "$R/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$R/usr/sbin/policy-rc.d" # no daemon is started while packages are installed
  chmod +x "$R/usr/sbin/policy-rc.d"
}

packages() {
  local names
  step packages
  mapfile -t names < <(sed 's/#.*//' "$HERE/packages.txt" | xargs -n1)
  in_guest apt-get -q update
  in_guest apt-get -qy install --no-install-recommends "${names[@]}"
}

kernel() { # kernel SUITE NAME: unpacked only, since the package would ask for an initramfs generator
  local tmp=$R/tmp/kernel version
  step "kernel of $1"
  mkdir "$tmp"
  in_guest sh -ec "cd /tmp/kernel; apt-get -q download linux-image-cloud-amd64/$1"
  version=$(dpkg-deb -f "$tmp"/*.deb Depends | sed 's/^linux-image-\([^ ,]*\).*/\1/')
  rm "$tmp"/*.deb
  in_guest sh -ec "cd /tmp/kernel; apt-get -q download linux-image-$version"
  dpkg-deb -x "$tmp"/*.deb "$tmp/x"
  cp "$tmp/x/boot/vmlinuz-$version" "$DIR/kernel-$2"
  mkdir -p "$R/usr/lib/modules"
  mv "$(find "$tmp/x" -path "*/lib/modules/$version" -prune)" "$R/usr/lib/modules/"
  in_guest depmod "$version"
  rm -r "$tmp"
  initrd "$version" "$DIR/initrd-$2"
}

initrd() { # initrd KERNEL_VERSION FILE: busybox and the modules for the root disk and the network
  local tree=$DIR/initrd word path module
  mkdir -p "$tree"/{bin,dev,modules,proc,root,sys}
  cp "$HERE/initrd-init" "$tree/init"
  cp "$R/bin/busybox" "$tree/bin/busybox"
  in_guest modprobe -S "$1" -a --show-depends virtio_pci virtio_blk virtio_net crc32c_generic ext4 |
    while read -r word path _; do
      if [ "$word" != insmod ]; then continue; fi # "builtin"
      module=$(basename "$path")
      module=${module%%.ko*}.ko
      if [ -e "$tree/modules/$module" ]; then continue; fi
      case $path in
      *.xz) xz -dc "$R$path" ;;
      *.zst) zstd -qdc "$R$path" ;;
      *) cat "$R$path" ;;
      esac >"$tree/modules/$module"
      echo "$module" >>"$tree/modules/order"
    done
  (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) >"$2"
  rm -r "$tree"
}

configure() {
  local unit
  step configure
  ssh-keygen -q -t ed25519 -N '' -C lab -f "$DIR/key"
  install -D -m 600 "$DIR/key.pub" "$R/root/.ssh/authorized_keys"
  in_guest systemd-machine-id-setup # else every boot would be a first boot
  in_guest systemctl enable ssh.service
  for unit in "${OFF[@]}"; do in_guest systemctl disable "$unit" || true; done
  in_guest systemctl mask "${MASKED[@]}"
  in_guest useradd -m -u 1000 -s /bin/bash labuser
  install -D -m 644 /dev/null "$R/var/lib/systemd/linger/labuser" # loginctl enable-linger
  in_guest python3 -m venv --system-site-packages --without-pip /opt/cputune
}

image() {
  step image
  in_guest apt-get clean
  rm -rf "$R/usr/sbin/policy-rc.d" "$R/etc/apt/preferences.d/older" "$R"/var/lib/apt/lists/*
  : >"$R/etc/resolv.conf"
  umount "$R/dev" "$R/sys" "$R/proc"
  truncate -s "$SIZE" "$DIR/disk.raw"
  mke2fs -q -t ext4 -O ^metadata_csum,^64bit -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -m 0 -d "$R" "$DIR/disk.raw"
  rm -rf "$R"
  step "done: $(du -h "$DIR/disk.raw" | cut -f1)"
}

bootstrap
packages
kernel "$SUITE" v2
kernel "$SUITE_V1" v1
configure
image
