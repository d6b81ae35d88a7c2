#!/usr/bin/env bash
# Makes the parts of the test machine that do not change with barista: a bare
# Debian, its kernel, and that kernel's own simulated GPIO chip. Each is
# kept in the cache under a name made of what it was made from, so a second run
# takes no time; an old one is thrown away when a new one is made.
#
#     testdata/vm/build.sh CACHE
#
# Prints where the parts are. Ends with 77, and says what is missing, where it
# can't be done: it wants root on Debian 12 with apt-get and its mirror.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?say where the cache is}"
cache=$(cd "$1" && pwd)
suite=bookworm
export DEBIAN_FRONTEND=noninteractive

cannot() { echo "the test machine can't be built here: $*" >&2; exit 77; }
said() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }

# What this computer needs.
need=()
for p in qemu-system-x86:qemu-system-x86_64 debootstrap:debootstrap \
	busybox-static:/bin/busybox cpio:cpio kmod:modprobe e2fsprogs:mke2fs xz-utils:xz gcc:gcc make:make; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${p#*:}" >/dev/null || need+=("${p%%:*}")
done
[ -e /usr/share/seabios/bios-256k.bin ] || [ -e /usr/share/qemu/bios-256k.bin ] || need+=(seabios)
export PATH=$PATH:/usr/sbin:/sbin
if [ ${#need[@]} -gt 0 ]; then
	[ "$(id -u)" = 0 ] || cannot "these packages are missing: ${need[*]}, and only root may install them"
	command -v apt-get >/dev/null || cannot "these programs' packages are missing: ${need[*]}, and there is no apt-get"
	apt-get update -qq || cannot "apt-get update does not work"
	apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null || cannot "apt-get could not install ${need[*]}"
	said "installed ${need[*]}"
fi

# The kernel that Debian's linux-image-amd64 stands for. Without apt, or offline,
# the one in the cache does.
kver=
if command -v apt-cache >/dev/null; then
	kver=$(apt-cache show linux-image-amd64 2>/dev/null | sed -n 's/^Depends: linux-image-\(6\.1\.[^ ]*\).*/\1/p' | head -1)
fi
recipe=$(cd "$here" && cat build.sh gpio-sim.sed modules packages | sha256sum | cut -c1-12)
if [ -z "$kver" ]; then
	kver=$(cd "$cache" && ls -d kernel-*-"$recipe" 2>/dev/null | sed "s/^kernel-//; s/-$recipe\$//" | tail -1)
fi
kernel=$cache/kernel-$kver-$recipe
root=$cache/root-$suite-$recipe.tar
if ! [ -e "$kernel/done" ] || ! [ -e "$root" ]; then
	[ "$(id -u)" = 0 ] || cannot "only root can make a root disk"
	command -v apt-get >/dev/null || cannot "there is no apt-get"
	if [ -z "$kver" ]; then
		apt-get update -qq || cannot "apt-get update does not work"
		kver=$(apt-cache show linux-image-amd64 2>/dev/null | sed -n 's/^Depends: linux-image-\(6\.1\.[^ ]*\).*/\1/p' | head -1)
		[ -n "$kver" ] || cannot "this is not Debian 12: it has no linux-image-amd64 of 6.1"
		kernel=$cache/kernel-$kver-$recipe
	fi
fi

# make_kernel: Debian 12 builds its kernel without gpio-sim, so that module is
# made from Debian's source of the very same version.
make_kernel() {
	local work=$kernel.tmp k m
	rm -rf "$cache"/kernel-*
	mkdir -p "$work/debs" "$work/image" "$work/src" "$work/modules"
	cd "$work/debs"
	dpkg -s "linux-headers-$kver" >/dev/null 2>&1 || apt-get install -y -qq --no-install-recommends "linux-headers-$kver" >/dev/null
	apt-get download -qq "linux-image-$kver" linux-source-6.1 2>/dev/null
	dpkg-deb -x linux-image-*.deb "$work/image"
	k=$work/image/lib/modules/$kver
	# The archive is read only as far as the three files go; tar's ear is deaf then.
	(dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
		tar -xJ -C "$work/src" --strip-components=1 --occurrence=1 linux-source-6.1/drivers/gpio/gpio-sim.c \
			linux-source-6.1/drivers/gpio/gpiolib.h linux-source-6.1/kernel/irq/irq_sim.c) 2>/dev/null || true
	m=$work/gpio-sim
	mkdir "$m"
	sed -f "$here/gpio-sim.sed" "$work/src/drivers/gpio/gpio-sim.c" >"$m/gpio-sim-main.c"
	[ "$(grep -c 'rig_persist\|rig_wired' "$m/gpio-sim-main.c")" = 7 ] || { echo "gpio-sim.c of $kver is not as gpio-sim.sed expects it" >&2; exit 1; }
	# irq_to_desc is not there for modules; generic_handle_irq does the same.
	sed 's/handle_simple_irq(irq_to_desc(irqnum));/generic_handle_irq(irqnum);/' "$work/src/kernel/irq/irq_sim.c" >"$m/irq_sim.c"
	cp "$work/src/drivers/gpio/gpiolib.h" "$m/"
	printf 'obj-m := gpio-sim.o\ngpio-sim-y := gpio-sim-main.o irq_sim.o\n' >"$m/Makefile"
	make -s -C "/usr/src/linux-headers-$kver" M="$m" modules >"$m/log" 2>&1 || { cat "$m/log" >&2; exit 1; }
	strip --strip-debug -o "$k/kernel/drivers/gpio/gpio-sim.ko" "$m/gpio-sim.ko"
	depmod -b "$work/image" "$kver"
	for name in $(grep -v '^#' "$here/modules"); do
		modprobe -d "$work/image" -S "$kver" --show-depends "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
	done | awk '!seen[$0]++' >"$work/list"
	while read -r f; do
		cp "$f" "$work/modules/"
		basename "$f" >>"$work/modules/order"
	done <"$work/list"
	cp "$work/image/boot/vmlinuz-$kver" "$work/vmlinuz"
	rm -rf "$work/debs" "$work/image" "$work/src" "$work/list" "$m"
	touch "$work/done"
	mv "$work" "$kernel"
	said "kernel $kver and its gpio-sim"
}

make_root() {
	local work=$cache/root.tmp mirror
	rm -rf "$cache"/root-* "$work"
	mirror=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | grep -v snapshot | head -1 || true)
	debootstrap --variant=minbase --include="$(grep -v '^#' "$here/packages" | paste -sd,)" $suite "$work" $mirror >"$cache/debootstrap.log" 2>&1 ||
		{ tail -20 "$cache/debootstrap.log" >&2; echo "debootstrap failed" >&2; exit 1; }
	rm -rf "$work"/var/cache/apt/* "$work"/var/lib/apt/lists/* "$work"/usr/share/{doc,man,locale,info}/*
	echo vm >"$work/etc/hostname"
	echo "127.0.0.1 localhost vm" >"$work/etc/hosts"
	: >"$work/etc/fstab"
	: >"$work/etc/machine-id"
	ln -sf /lib/systemd/system/multi-user.target "$work/etc/systemd/system/default.target"
	for unit in systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
		e2scrub_reap.service fstrim.timer dev-hugepages.mount dev-mqueue.mount systemd-pcrphase.service systemd-pcrphase-sysinit.service; do
		ln -sf /dev/null "$work/etc/systemd/system/$unit"
	done
	tar -C "$work" --xattrs -cf "$root.tmp" .
	rm -rf "$work"
	mv "$root.tmp" "$root"
	said "a bare Debian"
}

[ -e "$kernel/done" ] || (make_kernel)
[ -e "$root" ] || (make_root)
[ "$(id -u)" = 0 ] || cannot "only root can put a package into the bare Debian"
echo "$kernel"
echo "$root"
