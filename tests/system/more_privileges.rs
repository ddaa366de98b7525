//! Tests of a command with more privileges than its caller: a copy with a capability (`setcap`), which another user runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use crate::command::captures;
use crate::guests::plugin;

/// The user ID and group ID of `nobody`.
const NOBODY: u32 = 65_534;

/// The extended attribute `security.capability` for CAP_NET_RAW, permitted and effective: `struct vfs_cap_data` of
/// revision 2.
const NET_RAW: [u8; 20] = [
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// A folder of another user, with a copy of the command, a capture, a library and a plugin.
struct Place {
    folder: TempDir,
    library: PathBuf,
}

impl Place {
    /// Returns `None` if this test has no right to make one.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: capabilities of files need root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = |from: &Path, to: &str| {
            let to = folder.path().join(to);
            fs::copy(from, &to).expect("the folder is writable");
            to
        };
        let command = copy(Path::new(env!("CARGO_BIN_EXE_flowloom")), "flowloom");
        fs::set_permissions(&command, Permissions::from_mode(0o755)).expect("the copy is ours");
        copy(&captures().join("tls13.pcap"), "tls13.pcap");
        copy(&plugin("packet_stats"), "packet_stats.wasm");
        let library = crate::applications::library();
        copy(&library, "libndpi.so");
        let all = Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), all).expect("the folder is ours");
        for entry in fs::read_dir(folder.path()).expect("the folder is readable") {
            let path = entry.expect("an entry").path();
            chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        Some(Self { folder, library })
    }

    /// Gives the command a capability. Only root could have done that, so the command belongs to root then.
    fn set_capability(&self) -> bool {
        let command = self.folder.path().join("flowloom");
        chown(&command, Some(0), Some(0)).expect("root may");
        let set = setxattr(
            &command,
            "security.capability",
            &NET_RAW,
            XattrFlags::empty(),
        );
        if let Err(error) = &set {
            eprintln!("skipped: this file system has no capabilities of files: {error}");
        }
        set.is_ok()
    }

    /// Meters the capture as the other user.
    fn meter(&self, words: &[&str], environment: &[(&str, &str)]) -> Output {
        Command::new(self.folder.path().join("flowloom"))
            .args(["meter", "tls13.pcap", "--format", "jsonl"])
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(environment.iter().copied())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .expect("the command starts")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn variables_of_the_caller_are_ignored() {
    let Some(place) = Place::new() else { return };
    let environment = [("FLOWLOOM_NDPI", "/nowhere"), ("FLOWLOOM_LOG", "loud")];
    // Without more privileges, each of the two is an error.
    for variable in environment {
        let run = place.meter(&[], &[variable]);
        assert!(!run.status.success(), "{variable:?}");
    }
    if !place.set_capability() {
        return;
    }
    let run = place.meter(&[], &environment);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stdout).contains(r#""application_name":"TLS""#));
}

#[test]
fn libraries_that_others_than_root_can_change_are_refused() {
    let Some(place) = Place::new() else { return };
    let theirs = place.folder.path().join("libndpi.so");
    let theirs = theirs.to_str().expect("the path is text");
    let run = place.meter(&["--ndpi", theirs], &[]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    if !place.set_capability() {
        return;
    }
    for path in [theirs, "libndpi.so"] {
        let run = place.meter(&["--ndpi", path], &[]);
        let error = text(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{error}");
        let why = "this program has more privileges than you, and ";
        assert!(error.contains("cannot load nDPI library '"), "{error}");
        assert!(error.contains(why), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }
    // Root's library is accepted, also through a link of the other user.
    let link = place.folder.path().join("link.so");
    std::os::unix::fs::symlink(&place.library, &link).expect("links can be made");
    for path in [&place.library, &link] {
        let path = path.to_str().expect("the path is text");
        let run = place.meter(&["--ndpi", path], &[]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        assert!(text(&run.stdout).contains(r#""application_name":"TLS""#));
    }
}

#[test]
fn native_code_of_the_caller_is_not_used() {
    let Some(place) = Place::new() else { return };
    let home = place.folder.path().to_str().expect("the path is text");
    let environment = [("XDG_CACHE_HOME", home)];
    let words = ["--plugin", "packet_stats.wasm", "--n-dissections", "0"];
    let cached = place.folder.path().join("flowloom-cache");
    let cache = cached.to_str().expect("the path is text");
    let with_cache: Vec<_> = words.into_iter().chain(["--plugin-cache", cache]).collect();
    // Without more privileges, the folder of the caller is used.
    let run = place.meter(&with_cache, &environment);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let image = fs::read_dir(&cached)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| !path.ends_with("CACHEDIR.TAG"))
        .expect("there is an image");
    if !place.set_capability() {
        return;
    }
    // The command would refuse this image if it read it, and replace it.
    fs::write(&image, "not native code").expect("root may");
    let run = place.meter(&with_cache, &environment);
    let log = text(&run.stderr);
    assert!(run.status.success(), "{log}");
    assert!(log.contains("cannot keep compiled plugins in "), "{log}");
    assert!(
        log.contains("this program has more privileges than you"),
        "{log}"
    );
    let kept = fs::read_to_string(&image).expect("the image is there");
    assert_eq!(kept, "not native code");
    // The default folder is that of the caller too. It is not used, and nothing is said about it.
    let run = place.meter(&words, &environment);
    let log = text(&run.stderr);
    assert!(run.status.success(), "{log}");
    assert!(!log.contains("cannot keep"), "{log}");
    let default = place.folder.path().join("flowloom");
    assert!(default.is_file(), "no folder is made there");
}
