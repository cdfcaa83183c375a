"""What the scripts beside this file share: the workloads on a GPU that does nothing, and figures against a table."""
import glob, json, os, pathlib, re, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "wgtensor"
NO_SHIM = "no Debian with mesa-vulkan-drivers and the mesa-drm-shim of its version"


def built():
    """The newest build of `main.rs`, whatever its profile."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    programs = [f for f in glob.glob(str(target / "*/deps/static-*")) if "." not in os.path.basename(f)]
    if not programs:
        sys.exit("Not built: cargo build --bench static")
    return max(programs, key=os.path.getmtime)


def driver():
    """The version of the driver that is installed."""
    query = ["dpkg-query", "-W", "-f", "${Version}", "mesa-vulkan-drivers"]
    try:
        return subprocess.run(query, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def shim():
    """The file of the shim that belongs to the driver, fetched where it is not here yet; or none, said on stderr."""
    version = driver()
    cache = CACHE / f"shim-{version}"
    pattern = str(cache / "usr/lib/*/libamdgpu_noop_drm_shim.so")
    if version and not glob.glob(pattern):
        cache.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", f"mesa-drm-shim={version}"], cwd=cache, check=True, stdout=sys.stderr)
            subprocess.run(["dpkg", "-x", *glob.glob(str(cache / "*.deb")), str(cache)], check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            print(e, file=sys.stderr)
    return next(iter(glob.glob(pattern)), None)


def on_noop(command, chip="navi31", **more):
    """Runs a program on an AMD GPU that computes nothing; what it said on stderr, and whether it succeeded."""
    library = shim() or sys.exit(NO_SHIM)
    with tempfile.TemporaryDirectory() as runtime:
        env = dict(os.environ, AMDGPU_GPU_ID=chip, XDG_RUNTIME_DIR=runtime, LD_PRELOAD=library, WGTENSOR_DEVICE="gpu",
                   WGTENSOR_CACHE="off", WGTENSOR_COOPERATIVE="1",
                   VK_DRIVER_FILES=glob.glob("/usr/share/vulkan/icd.d/radeon_icd*.json")[0], **more)
        run = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace")
    return run.stderr, run.returncode == 0


def workloads(folder, chip="navi31"):
    """Writes the kernels of all workloads into a folder: `NAME_0.wgsl` and so on. They are compiled from there one after
    the other, for the program itself compiles on several threads and tells of them in any order."""
    log, done = on_noop([built(), "--dump", folder], chip)
    if not done:
        sys.exit(f"{chip}: the workloads failed\n{log[-2000:]}")


def sections(log):
    """What a log says under each `=== name`, up to `=== end`."""
    return re.findall(r"(?ms)^=== (?!end$)(.*?)\n(.*?)^=== end$", log)


def report(table, compiler, version, chips, figures, less, more=()):
    """Prints what `figures` makes of each chip, by kernel, and compares where the table beside is of this version;
    `--write` writes it. `less` and `more` name the figures of which less or more is better."""
    path = HERE / table
    write = "--write" in sys.argv
    known = json.loads(path.read_text()) if path.exists() else {}
    judged = known.get("compiler") == version and not write
    now, wrong = {}, []
    for chip in [a for a in sys.argv[1:] if not a.startswith("--")] or chips:
        now[chip] = figures(chip)
        before = known.get("chips", {}).get(chip, {}) if judged else {}
        if before:
            wrong += [f"{chip} {name}: is gone or new" for name in sorted(now[chip].keys() ^ before.keys())]
        for name, row in sorted(now[chip].items()):
            share = f"; {row['multiply-adds'] / row['slots']:.0%} of the slots multiply" if row.get("slots") else ""
            print(f"{chip} {name}: " + ", ".join(f"{k} {v}" for k, v in row.items()) + share)
            old = before.get(name, {})
            if row.get("spills"):
                wrong.append(f"{chip} {name}: spills")
            worse = [k for k in less if k in old and row.get(k, 0) > old[k] * 1.03 + 1]
            worse += [k for k in more if k in old and row.get(k, 0) < old[k] * 0.97 - 1]
            wrong += [f"{chip} {name}: {k} {old[k]} -> {row.get(k)}" for k in worse]
    if write:
        line = lambda kernel: f"  {json.dumps(kernel[0])}: {json.dumps(kernel[1])}"
        part = lambda chip: f' "{chip}": {{\n' + ",\n".join(map(line, sorted(now[chip].items()))) + "\n }"
        path.write_text(f'{{"compiler": "{version}", "chips": {{\n' + ",\n".join(map(part, now)) + "\n}}\n")
        print(*wrong, sep="\n", end="\n" if wrong else "")
    elif not judged:
        print(f"Not judged: the table is of {known.get('compiler')}, {compiler} here is {version}.")
    if wrong and not write:
        sys.exit("Worse than before:\n" + "\n".join(wrong))


def same_version(table, compiler, version):
    """With `--same-version`, ends where the table is of another version or the kernels cannot be had."""
    path = HERE / table
    known = json.loads(path.read_text())["compiler"] if path.exists() else None
    if "--same-version" not in sys.argv:
        return
    if version != known:
        sys.exit(print(f"{compiler} is not asked: the table is of {known}, here is {version or 'none'}."))
    if not shim():
        sys.exit(print(f"{compiler} is not asked: {NO_SHIM}."))
