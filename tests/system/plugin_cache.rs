//! Tests of the cache of compiled plugins, and of the files that Flowloom must not read, run or delete in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::command::{Run, meter};
use crate::guests::fifo;

/// Runs the command with this folder as the cache of compiled plugins.
fn cached(cache: &Path, plugin: &str) -> Run {
    meter("dns.pcap")
        .plugin(plugin)
        .arg("--plugin-cache")
        .arg(cache)
        .run()
        .done()
}

/// Returns the only file besides CACHEDIR.TAG.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder)
        .expect("the cache exists")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| !path.ends_with("CACHEDIR.TAG"))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn only_intact_private_files_of_the_cache_are_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let reports = |run: Run, line: &str| _ = run.reports_line(line);
    let evil = "plugin   evil 6.6.6: 41 events in 2 calls, _ ns per event, _ KiB, 0 traps";
    reports(cached(&one, "evil"), evil);
    cached(&other, "packet_stats");
    let (its, others) = (only_file(&one), only_file(&other));
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("the path exists")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode(&one), mode(&its)), (0o700, 0o600));
    // The run uses the file: the test has replaced it with the code of another plugin.
    let image = fs::read(&its).expect("an image");
    fs::copy(&others, &its).expect("the folder is writable");
    let run = cached(&one, "evil");
    assert!(!run.stderr.contains("plugin   evil 6.6.6"), "{run}");
    // A file is not used if it is truncated or modified, is a link, or can be written by other users.
    let mut flipped = image.clone();
    flipped[image.len() / 2] ^= 1;
    for planted in [&image[..image.len() - 1], &flipped, b"", b"\x7fELF"] {
        fs::write(&its, planted).expect("the folder is writable");
        reports(cached(&one, "evil"), evil);
        assert_eq!(
            fs::read(&its).expect("the file was written again").len(),
            image.len()
        );
    }
    fs::remove_file(&its).expect("the path exists");
    symlink(&others, &its).expect("the folder is writable");
    reports(cached(&one, "evil"), evil);
    fs::copy(&others, &its).expect("the folder is writable");
    fs::set_permissions(&its, fs::Permissions::from_mode(0o666)).expect("the test owns the path");
    reports(cached(&one, "evil"), evil);
    // A file that is too large or is a FIFO is not used either.
    fs::File::create(&its)
        .and_then(|file| file.set_len(3 << 30))
        .expect("a sparse file");
    reports(cached(&one, "evil"), evil);
    fs::remove_file(&its).expect("the file was written again");
    fifo(&its);
    reports(cached(&one, "evil"), evil);
    // A folder that other users can open is not used at all.
    fs::set_permissions(&one, fs::Permissions::from_mode(0o755)).expect("the test owns the path");
    let run = cached(&one, "evil");
    let warning = format!(
        " WARN cannot keep compiled plugins in {}: other users may open it (mode 755); use chmod 700",
        one.display()
    );
    assert!(run.stderr.lines().any(|line| line == warning), "{run}");
}

/// Checks that a run does not use this folder, and warns with this reason.
#[track_caller]
fn not_kept(folder: &Path, reason: &str) {
    let run = cached(folder, "evil");
    let warning = format!(
        " WARN cannot keep compiled plugins in {}: {reason}",
        folder.display()
    );
    assert!(
        run.stderr.lines().any(|line| line == warning),
        "no `{warning}` in\n{run}"
    );
}

/// Creates a folder that only its owner can open.
fn private(folder: &Path) {
    fs::create_dir(folder).expect("the folder is writable");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("the test owns the path");
}

#[test]
fn files_of_others_are_never_deleted() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("private");
    private(&folder);
    let large = |name: &str| {
        let path = folder.join(name);
        let file = fs::File::create(&path).expect("the folder is writable");
        file.set_len(600 << 20).expect("a sparse file");
        path
    };
    let thesis = large("thesis.tar");
    not_kept(
        &folder,
        "it has other files, such as thesis.tar, and no CACHEDIR.TAG; use a folder that is empty or \
         does not exist",
    );
    // A folder with a tag may also contain files of other programs, even with names like those of Flowloom.
    fs::write(
        folder.join("CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n",
    )
    .expect("the folder is writable");
    let named = large(&format!("{}.image", "0".repeat(64)));
    // An old file of Flowloom. Together with the new file it exceeds the size limit of the cache.
    let old = folder.join(format!("{}.image", "1".repeat(64)));
    fs::write(&old, "flowloom image 1\n").expect("the folder is writable");
    let file = fs::File::options().write(true).open(&old);
    file.and_then(|file| file.set_len(512 << 20))
        .expect("a sparse file");
    cached(&folder, "evil");
    let left = |path: &Path| path.exists();
    assert!(left(&thesis) && left(&named) && !left(&old));
    let images = fs::read_dir(&folder).expect("the path exists").count();
    assert_eq!(images, 4, "the tag, two files of others and the new file");
}

#[test]
fn a_cache_folder_without_a_tag_gets_one() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("cache");
    private(&folder);
    let old = folder.join(format!("{}.image", "a".repeat(64)));
    fs::write(&old, [&[0; 32][..], b"\x7fELF"].concat()).expect("the folder is writable");
    cached(&folder, "evil");
    assert!(old.exists() && folder.join("CACHEDIR.TAG").exists());
    assert_eq!(fs::read_dir(&folder).expect("the path exists").count(), 3);
}

#[test]
fn folders_that_other_users_can_replace_are_not_used() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let (cache, link) = (parent.path().join("cache"), parent.path().join("link"));
    private(&cache);
    symlink(&cache, &link).expect("the folder is writable");
    not_kept(&link, "it is not a folder");
    let mode = |mode| fs::set_permissions(parent.path(), fs::Permissions::from_mode(mode));
    mode(0o777).expect("the test owns the path");
    let shown = fs::canonicalize(parent.path()).expect("the path exists");
    not_kept(
        &cache,
        &format!(
            "other users may write to its parent folder {}",
            shown.display()
        ),
    );
    // Mode 1777, the same as /tmp, is safe: other users cannot rename the folder.
    mode(0o1777).expect("the test owns the path");
    let run = cached(&cache, "evil");
    assert!(!run.stderr.contains("not kept"), "{run}");
}

#[test]
fn a_folder_of_another_user_is_not_used() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let cache = parent.path().join("cache");
    private(&cache);
    // Only root can change the owner. For other users the test ends here.
    if std::os::unix::fs::chown(&cache, Some(65_534), None).is_err() {
        return;
    }
    not_kept(&cache, "it belongs to another user");
}
