#!/bin/sh
# build.sh VERSION FOLDER - makes FOLDER/outrigger_VERSION_ARCH.deb of the binary of VARIANT and the files of this tree. No root, no debhelper,
# and no maintainer scripts: the service makes its own user (DynamicUser) and is neither enabled nor started until somebody says so.
set -eu

version=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
arch=$(dpkg --print-architecture)
root=$out/deb
package=$out/outrigger_${version}_$arch.deb
# The same binary makes the same package, byte by byte. (The same sources make the same binary, but for VARIANT=tuned: there, the profile has its say.)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

umask 022
rm -rf "$root" "$out"/outrigger_*.deb
mkdir -p "$root/DEBIAN"
make install VARIANT="${VARIANT:-release}" PREFIX=/usr DESTDIR="$root" REVISION="${REVISION:-unknown}"

# Where Debian has these
mkdir -p "$root/lib/systemd" "$root/etc/outrigger"
mv "$root/usr/lib/systemd/system" "$root/lib/systemd/system"
rm -r "$root/usr/lib"
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/outrigger/start.yaml" "$root/etc/outrigger/outrigger.yaml"
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/outrigger"
gzip -9n "$root/usr/share/man/man8/outrigger.8"
doc=$root/usr/share/doc/outrigger
rm "$doc/LICENSE"
install -m 644 "$here/copyright" "$doc/copyright"
{
	echo "outrigger ($version) unstable; urgency=medium"
	echo
	echo "  * Packaged from the sources of revision ${REVISION:-unknown}."
	echo
	echo " -- Outrigger <maintainers@outrigger.example>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n > "$doc/changelog.gz"

# What the binary needs, as the libraries' own packages say it
mkdir -p "$out/shlibs/debian"
printf 'Source: outrigger\n\nPackage: outrigger\nArchitecture: any\n' > "$out/shlibs/debian/control"
binary=$(cd "$root" && pwd)/usr/bin/outrigger
depends=$(cd "$out/shlibs" && dpkg-shlibdeps -O "$binary" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
rm -r "$out/shlibs"
[ -n "$depends" ] || { echo "build.sh: dpkg-shlibdeps found no dependencies" >&2; exit 1; }

size=$(du -sk --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@DEPENDS@/$depends/" "$here/control.in" > "$root/DEBIAN/control"
echo /etc/outrigger/outrigger.yaml > "$root/DEBIAN/conffiles"
(cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) > "$root/DEBIAN/md5sums"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
