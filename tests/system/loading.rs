//! Tests of hostile plugins. Flowloom rejects each with one line, and the run goes on.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ChildStderr;

use flowloom::plugin::{ChildCompiler, PluginSpec, SchemaMode};
use flowloom::{Step, Streamer};

use crate::command::{flowloom, meter};
use crate::guests::{file, plugin};
use crate::wat::{Module, typed};

/// Returns a section of a WebAssembly file.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut len = content.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(content);
    bytes
}

/// Returns a core module with a component type whose packages depend on each other in a circle. The text format
/// cannot express this, so the function renames a package in the binary.
fn circle() -> Vec<u8> {
    let module = Module::default();
    let (_folder, path) = module.file_importing(
        "import aa:aa/i; import bb:bb/j; import cc:cc/k;",
        "
        package aa:aa { interface i { record r { x: u32 } } }
        package bb:bb { interface j { use aa:aa/i.{r}; record s { r: r } } }
        package cc:cc { interface k { use bb:bb/j.{s}; record t { s: s } } }",
    );
    let mut bytes = fs::read(path).expect("the file was just written");
    let offsets: Vec<_> = (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(b"cc:cc"))
        .collect();
    assert!(!offsets.is_empty(), "the packages are named in the file");
    for at in offsets {
        bytes[at..at + 5].copy_from_slice(b"aa:aa");
    }
    bytes
}

/// Returns nested components.
fn nested_components(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(HEADER.to_vec(), |inner, _| {
        [HEADER, &section(4, &inner)].concat()
    })
}

/// Returns a core module whose component type has nested component types.
fn nested_types(depth: usize) -> Vec<u8> {
    // A component type with one declaration: a type.
    let open = [0x41, 1, 1];
    let mut types = vec![1];
    types.extend(open.repeat(depth));
    types.extend([0x41, 0]);
    let component = [&b"\0asm\x0d\0\x01\0"[..], &section(7, &types)].concat();
    let custom = [&b"\x0ecomponent-type"[..], &component].concat();
    [&b"\0asm\x01\0\0\0"[..], &section(0, &custom)].concat()
}

/// Returns a component with a core module. The number of its instances doubles at each level.
fn doubled(levels: usize) -> Vec<u8> {
    let mut text =
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..levels {
        let before = level - 1;
        text += &format!(
            "(component $c{level} (alias outer 1 $c{before} (component $x))
               (instance (instantiate $x)) (instance (instantiate $x)))"
        );
    }
    text += &format!("(instance (instantiate $c{})))", levels - 1);
    wat::parse_str(text).expect("the component is valid")
}

/// Returns files that crash or block a parser without protection.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let whole = typed(&Module::default().text(), |contract| contract);
    vec![
        ("circle", circle()),
        ("components", nested_components(5_000)),
        ("types", nested_types(5_000)),
        ("doubled", doubled(28)),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("cut", whole[..whole.len() - 100].to_vec()),
    ]
}

const BOUNDS: [&str; 4] = ["--compile-time", "30", "--compile-memory", "512"];

#[track_caller]
fn is_refused(stderr: &str, name: &str) {
    assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
    assert!(
        stderr.starts_with("flowloom: plugin 'hand': ")
            && (stderr.contains(" does not compile: ")
                || stderr.contains(" is not a WebAssembly component: ")),
        "{name}: {stderr}"
    );
    assert!(stderr.len() < 1_500, "{name}: {stderr}");
}

#[test]
fn every_command_rejects_hostile_plugins_in_one_line() {
    for (name, bytes) in hostile() {
        let (folder, path) = file("hand.wasm", &bytes);
        let meter = meter("dns.pcap").args(["--plugin-cache", "none", "--plugin"]);
        let run = meter.arg(&path).args(BOUNDS).run().exits(1);
        is_refused(&run.stderr, name);
        for command in ["check", "bench"] {
            let run = flowloom().args(["plugin", command]).arg(&path).args(BOUNDS);
            is_refused(&run.run().exits(1).stderr, name);
        }
        let toml = "[plugin]\nname = \"hand\"\nlanguage = \"c\"\nsource = \"hand.c\"\n\
                    [[test]]\ncapture = \"dns.pcap\"\nexpected = \"dns.jsonl\"\n";
        fs::write(folder.path().join("flowloom-plugin.toml"), toml)
            .expect("the folder is writable");
        let capture = crate::command::captures().join("dns.pcap");
        fs::copy(capture, folder.path().join("dns.pcap")).expect("the folder is writable");
        let test = flowloom().args(["plugin", "test"]).arg(folder.path());
        is_refused(&test.args(BOUNDS).run().exits(1).stderr, name);
    }
}

#[test]
fn componentizing_is_bounded_too() {
    for (name, bytes) in hostile() {
        let (folder, path) = file("hand.wasm", &bytes);
        let run = flowloom()
            .args(["plugin", "componentize"])
            .arg(&path)
            .arg("--output")
            .arg(folder.path().join("out.wasm"))
            .args(BOUNDS)
            .run();
        // The command does not parse a file that is already a component.
        if name == "doubled" {
            run.done();
            continue;
        }
        let run = run.exits(1);
        assert!(
            run.stderr.starts_with("flowloom: cannot convert ")
                && run.stderr.contains(" into a component: "),
            "{run}"
        );
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
    }
}

#[test]
fn a_truncated_module_is_rejected() {
    let whole = typed(&Module::default().text(), |contract| contract);
    // None of these lengths ends between two sections, which would be a valid module.
    for len in (9..whole.len()).step_by(whole.len() / 12) {
        let (_folder, path) = file("hand.wasm", &whole[..len]);
        let run = flowloom().args(["plugin", "check"]).arg(&path).run();
        is_refused(&run.exits(1).stderr, &len.to_string());
    }
}

#[test]
fn errors_of_the_compiler_give_the_reason() {
    let check = |bytes: &[u8], words: &[&str]| {
        let (_folder, path) = file("hand.wasm", bytes);
        let check = flowloom().args(["plugin", "check"]).arg(&path);
        check.args(words).run().exits(1).stderr
    };
    let stderr = check(&circle(), &[]);
    assert!(
        stderr.contains("the compiler's stack overflowed"),
        "{stderr}"
    );
    let stderr = check(&nested_types(5_000), &[]);
    assert!(
        stderr.contains("its types nest more than 32 times"),
        "{stderr}"
    );
    let stderr = check(&doubled(28), &["--compile-memory", "300"]);
    assert!(stderr.contains("300 MiB of memory are allowed"), "{stderr}");
    // A component with fewer levels compiles, but its instances would need too much memory of the host.
    let stderr = check(&doubled(20), &[]);
    assert!(
        stderr.contains(" instances of nested components; at most 1024 are accepted"),
        "{stderr}"
    );
}

#[test]
fn reloading_hostile_plugins_loses_no_flow() {
    let (_folder, path) = file("hand.wasm", typed(&Module::default().text(), |text| text));
    let capture = crate::command::captures().join("dns.pcap");
    // SAFETY: the command that was built with these tests calls `serve_compiler`.
    #[allow(unsafe_code, reason = "the command is the one under test")]
    let compiler = unsafe {
        ChildCompiler::new(
            env!("CARGO_BIN_EXE_flowloom"),
            ["plugin", "compile-process"],
        )
    };
    let flows = |hostile: &[(&str, Vec<u8>)]| {
        let mut streamer = Streamer::builder([&capture])
            .n_dissections(0)
            .plugin(PluginSpec::new(&path))
            .compiler(compiler.clone())
            .hot_loading(SchemaMode::Fixed)
            .build()
            .expect("the plugin opens");
        for (n, (_, bytes)) in hostile.iter().enumerate() {
            fs::write(&path, bytes).expect("the folder is writable");
            streamer.reload_plugins();
            while streamer.summary().changes_refused <= n as u64 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        let mut flows = 0;
        loop {
            match streamer.step() {
                Step::Flow(_) => flows += 1,
                Step::Read => {}
                Step::End => break,
            }
        }
        let report = streamer.summary();
        assert_eq!(report.thread_panics, 0);
        assert_eq!(report.plugins[0].traps, 0);
        (flows, report.plugins[0].events)
    };
    let quiet = flows(&[]);
    assert_eq!(flows(&hostile()), quiet);
}

/// A run that watches a folder of plugins and reads its capture from a pipe.
struct WatchingRun {
    child: std::process::Child,
    log: std::io::Lines<BufReader<ChildStderr>>,
    folder: tempfile::TempDir,
}

impl WatchingRun {
    fn start(policy: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = meter("-")
            .jsonl()
            .args(["--plugin-cache", "none", "--watch", "--plugins"])
            .arg(folder.path())
            .args(BOUNDS)
            .env("FLOWLOOM_LOG", "debug");
        let mut run = match policy {
            Some(policy) => run.arg("--policy").arg(policy),
            None => run,
        };
        let mut child = run.start();
        let capture = fs::read(crate::command::captures().join("dns.pcap")).expect("a capture");
        let stdin = child.stdin.as_mut().expect("the stream is piped");
        stdin
            .write_all(&capture)
            .expect("the command reads its input");
        stdin.flush().expect("the command reads its input");
        let log = BufReader::new(child.stderr.take().expect("the stream is piped")).lines();
        let mut run = Self { child, log, folder };
        // A file that exists before this line is loaded at the start, where an error ends the run.
        run.wait_for("watching ");
        run
    }

    /// Creates a file in the folder atomically.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (new, path) = (
            self.folder.path().join("new"),
            self.folder.path().join(name),
        );
        fs::write(&new, bytes).expect("the folder is writable");
        fs::rename(&new, &path).expect("the folder is writable");
        path
    }

    /// Waits until a log line contains these words. Returns all lines up to this one.
    #[track_caller]
    fn wait_for(&mut self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.log.next();
            let line =
                line.unwrap_or_else(|| panic!("the log ended without `{words}`: {lines:#?}"));
            lines.push(line.expect("text"));
            if lines.last().is_some_and(|line| line.contains(words)) {
                return lines;
            }
        }
    }

    /// Ends the run, and checks that it has written all flows of the capture.
    #[track_caller]
    fn ends(mut self) {
        drop(self.child.stdin.take());
        let rest: Vec<_> = self.log.map_while(Result::ok).collect();
        let output = self.child.wait_with_output().expect("the process ends");
        assert!(output.status.success(), "{}: {rest:#?}", output.status);
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let alone = meter("dns.pcap").jsonl().run().done().flows().len();
        assert_eq!(lines.filter(|line| !line.is_empty()).count(), alone);
    }
}

#[test]
fn a_run_with_a_watched_folder_survives_hostile_plugins() {
    let mut run = WatchingRun::start(None);
    for (name, bytes) in hostile() {
        run.put(&format!("{name}.wasm"), &bytes);
        run.wait_for(&format!("ERROR plugin '{name}': "));
    }
    // The run rejects an incomplete file once. Then it loads the complete file, and notices its removal.
    let whole = typed(&Module::default().text(), |contract| contract);
    let path = run.put("hand.wasm", &whole[..whole.len() / 2]);
    run.wait_for("ERROR plugin 'hand': ");
    fs::write(&path, &whole).expect("the folder is writable");
    let lines = run.wait_for("INFO plugin hand: ");
    assert!(
        lines.iter().all(|line| !line.contains("ERROR ")),
        "{lines:#?}"
    );
    fs::remove_file(&path).expect("the path exists");
    run.wait_for("INFO plugin hand: removed, because its file is gone");
    run.ends();
}

#[test]
fn a_link_in_a_watched_folder_is_rejected_and_its_target_not_shown() {
    let mut run = WatchingRun::start(None);
    let (_secret_folder, secret) = file("secret", "hunter2 is the word");
    let folder = run.folder.path().to_owned();
    for (name, target) in [("secret.wasm", &*secret), ("good.wasm", &*plugin("slicer"))] {
        std::os::unix::fs::symlink(target, folder.join(name)).expect("the folder is writable");
        let lines = run.wait_for("ERROR plugin ");
        let stem = name.trim_end_matches(".wasm");
        assert_eq!(
            lines
                .last()
                .and_then(|line| line.split_once("Z "))
                .map(|(_, line)| line),
            Some(&*format!(
                "ERROR plugin '{stem}': {} is a symbolic link, which is not accepted in a watched \
                 folder; move the file itself there; the loaded plugins are unchanged",
                folder.join(name).display()
            ))
        );
    }
    // The content of a file that is not a plugin is not shown either.
    run.put("text.wasm", b"hunter2 is the word");
    let lines = run.wait_for("ERROR plugin 'text': ");
    assert!(
        lines.iter().all(|line| !line.contains("hunter2")),
        "{lines:#?}"
    );
    run.ends();
}

#[test]
fn a_policy_that_becomes_a_fifo_does_not_block_the_watcher() {
    let (_folder, policy) = file("flowloom.toml", "version = 1\n");
    let mut run = WatchingRun::start(Some(&policy));
    fs::remove_file(&policy).expect("the path exists");
    crate::guests::fifo(&policy);
    run.wait_for("it is a FIFO, not a regular file; the loaded plugins are unchanged");
    fs::remove_file(&policy).expect("the path exists");
    fs::write(&policy, "version = 1\n").expect("the folder is writable");
    run.put("hand.wasm", &typed(&Module::default().text(), |text| text));
    run.wait_for("INFO plugin hand: ");
    run.ends();
}

#[test]
fn the_running_program_compiles_even_if_its_file_was_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("flowloom");
    fs::copy(env!("CARGO_BIN_EXE_flowloom"), &copy).expect("the folder is writable");
    let plugins = folder.path().join("plugins");
    fs::create_dir(&plugins).expect("the folder is writable");
    let mut child = std::process::Command::new(&copy)
        .args(["meter", "-", "--n-dissections", "0", "--watch"])
        .args(["--plugin-cache", "none", "--plugins"])
        .arg(&plugins)
        .env("FLOWLOOM_LOG", "debug")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("the stream is piped");
    let capture = fs::read(crate::command::captures().join("dns.pcap")).expect("a capture");
    stdin
        .write_all(&capture)
        .expect("the command reads its input");
    let mut log = BufReader::new(child.stderr.take().expect("the stream is piped")).lines();
    let mut line_with = |words: &str| {
        let line = log.find_map(|line| line.ok().filter(|line| line.contains(words)));
        line.unwrap_or_else(|| panic!("the log ended without `{words}`"))
    };
    line_with("watching ");
    // Another program replaces the file of the command.
    let other = folder.path().join("other");
    fs::write(&other, "#!/bin/sh\necho replaced >&2\nexit 1\n").expect("the folder is writable");
    fs::rename(&other, &copy).expect("the folder is writable");
    let bytes = typed(&Module::default().text(), |text| text);
    fs::write(plugins.join("hand.wasm"), bytes).expect("the folder is writable");
    let line = line_with("plugin ");
    assert!(line.contains("newly started flows use it"), "{line}");
    drop(stdin);
    let rest: Vec<_> = log.map_while(Result::ok).collect();
    assert!(
        child.wait().expect("the process ends").success(),
        "{rest:#?}"
    );
}

#[test]
fn special_and_huge_files_are_not_read() {
    let (folder, path) = file("fifo", "");
    fs::remove_file(&path).expect("the path exists");
    crate::guests::fifo(&path);
    let large = folder.path().join("large");
    let file = fs::File::create(&large).expect("the folder is writable");
    file.set_len(3 << 30).expect("a sparse file");
    let options = plugin("evil").display().to_string();
    for (file, why) in [
        (Path::new("/dev/zero"), "it is a device, not a regular file"),
        (&path, "it is a FIFO, not a regular file"),
        (folder.path(), "it is a directory, not a regular file"),
        (&large, "it has 3221225472 bytes; at most "),
    ] {
        let shown = file.display();
        let fails = |words: &[&str], code: i32| {
            let run = meter("dns.pcap").args(words).run().exits(code);
            assert!(run.stderr.contains(why), "{run}");
            assert!(run.stderr.contains(&*shown.to_string()), "{run}");
        };
        fails(&["--plugin", &format!("{options},key=@{shown}")], 2);
        fails(&["--plugin", &options, "--policy", &shown.to_string()], 1);
        let key = format!("@{shown}");
        fails(
            &[
                "--columns-to-anonymize",
                "src_ip",
                "--anonymization-key",
                &key,
            ],
            2,
        );
        #[cfg(feature = "ndpi")]
        for list in ["--ndpi-protocols", "--ndpi-categories"] {
            let run = meter("dns.pcap").dissected();
            let run = run.arg(list).arg(file).run().exits(1);
            assert!(run.stderr.contains(why), "{run}");
        }
    }
}
