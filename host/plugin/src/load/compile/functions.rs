//! Machine code of single functions, which plugins with the same interpreter share.
//!
//! The components of Python and JavaScript contain their interpreter. Two of them differ in few functions. A
//! store keeps the machine code of functions, so that another component compiles only what is new.
//!
//! The store is a number of packs: files that are written once, and never changed. A pack has
//!
//! | part | contents |
//! |---|---|
//! | header | the magic, and the SHA-256 of the next three parts |
//! | fingerprint | the SHA-256 of what machine code depends on besides the function |
//! | count | the number of entries: `u32`, little endian |
//! | index | for each entry: its key, the offset and length of its value (`u64`, `u32`), and its check |
//! | values | machine code with relocations, in the format of Cranelift |
//!
//! A key is Cranelift's digest of a function and of the compiler's settings. A check is the start of the SHA-256
//! of key and value. A pack that does not match its digest is not used, and neither is a value.
//!
//! # Trust
//!
//! A value cannot be verified with its key: nobody but the compiler knows which machine code belongs to a
//! function. Therefore only compilations of trusted components write packs: those that `flowloom plugin build`
//! has just built from the user's sources, which ran the user's commands already. A compilation of any other
//! component reads packs, so that it is quicker, but leaves nothing for others.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use wasmtime::CacheStore;

use super::cache_folder::{CacheFolder, CachedKind, FUNCTIONS, FUNCTIONS_MAGIC};

/// The bytes of a key: a SHA-256.
const KEY: usize = 32;
/// The bytes of a check.
const CHECK: usize = 16;
/// The bytes of an entry in the index.
const ENTRY: usize = KEY + 8 + 4 + CHECK;
/// The bytes before the index.
const HEAD: usize = FUNCTIONS_MAGIC.len() + 32 + 32 + 4;

/// The maximum number of entries of a pack. Python's interpreter has 15,000 functions.
const MAX_ENTRIES: usize = 200_000;
/// The maximum number of bytes of a pack, and of the functions that one compilation keeps.
pub(super) const MAX_PACK_BYTES: u64 = 256 << 20;
/// The maximum number of packs. Those that were not used for the longest time are deleted first.
const MAX_PACKS: usize = 32;

/// The functions of earlier compilations, and those of this one.
pub(super) struct FunctionStore {
    folder: CacheFolder,
    fingerprint: [u8; 32],
    packs: Vec<Pack>,
    index: HashMap<[u8; KEY], Place>,
    /// `None` if this compilation keeps no functions.
    new: Option<Mutex<NewFunctions>>,
    found: AtomicUsize,
    compiled: AtomicUsize,
}

struct Pack {
    name: String,
    file: File,
    is_used: AtomicBool,
}

/// The place of a value.
struct Place {
    pack: usize,
    offset: u64,
    len: u32,
    check: [u8; CHECK],
}

#[derive(Default)]
struct NewFunctions {
    values: HashMap<[u8; KEY], Vec<u8>>,
    bytes: u64,
}

impl FunctionStore {
    /// Opens the packs of a folder. `fingerprint` is what machine code depends on besides the function.
    ///
    /// # Errors
    ///
    /// The folder cannot be used. The text is the reason.
    pub(super) fn open(folder: &Path, fingerprint: &[u8], keeps_new: bool) -> Result<Self, String> {
        let mut store = Self {
            // A process that keeps nothing is not permitted to write: a signal would end it.
            folder: match keeps_new {
                true => CacheFolder::open(folder)?,
                false => CacheFolder::existing(folder)?,
            },
            fingerprint: Sha256::digest(fingerprint).into(),
            packs: Vec::new(),
            index: HashMap::new(),
            new: keeps_new.then(Mutex::default),
            found: AtomicUsize::new(0),
            compiled: AtomicUsize::new(0),
        };
        let files = store.folder.files().map_err(|error| error.to_string())?;
        let packs = files
            .into_iter()
            .filter(|file| file.kind == CachedKind::Functions);
        for pack in packs.take(MAX_PACKS) {
            // A pack of another version, or a damaged one, is not used.
            let _ = store.add(pack.name);
        }
        Ok(store)
    }

    /// Adds the index of a pack. Returns `None` if the pack cannot be used.
    fn add(&mut self, name: String) -> Option<()> {
        let file = self.folder.folder.file(&name).ok()?;
        let size = file.metadata().ok()?.len();
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0).ok()?;
        let rest = head.strip_prefix(FUNCTIONS_MAGIC)?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (fingerprint, count) = rest.split_first_chunk::<32>()?;
        let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
        if *fingerprint != self.fingerprint || count > MAX_ENTRIES || size > MAX_PACK_BYTES {
            return None;
        }
        let mut index = vec![0; count * ENTRY];
        file.read_exact_at(&mut index, HEAD as u64).ok()?;
        if *digest != digest_of(fingerprint, count as u32, &index) {
            return None;
        }
        let pack = self.packs.len();
        for entry in index.chunks_exact(ENTRY) {
            let (key, entry) = entry.split_first_chunk::<KEY>()?;
            let (offset, entry) = entry.split_first_chunk::<8>()?;
            let (len, check) = entry.split_first_chunk::<4>()?;
            let (offset, len) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*len));
            if offset.checked_add(len.into()).is_none_or(|end| end > size) {
                continue;
            }
            self.index.entry(*key).or_insert(Place {
                pack,
                offset,
                len,
                check: check.try_into().ok()?,
            });
        }
        self.packs.push(Pack {
            name,
            file,
            is_used: AtomicBool::new(false),
        });
        Some(())
    }

    /// Returns a value, if it is intact.
    fn find(&self, key: &[u8; KEY]) -> Option<Vec<u8>> {
        let place = self.index.get(key)?;
        let pack = &self.packs[place.pack];
        let mut value = vec![0; place.len as usize];
        pack.file.read_exact_at(&mut value, place.offset).ok()?;
        pack.is_used.store(true, Ordering::Relaxed);
        (check_of(key, &value) == place.check).then_some(value)
    }

    /// Writes the new functions as a pack, and records which packs were used.
    ///
    /// # Errors
    ///
    /// The pack cannot be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        let used = self
            .packs
            .iter()
            .filter(|pack| pack.is_used.load(Ordering::Relaxed));
        for pack in used {
            self.folder.record_use(&pack.name);
        }
        let Some(new) = &self.new else {
            return Ok(());
        };
        let new = std::mem::take(&mut *new.lock().unwrap_or_else(PoisonError::into_inner));
        if new.values.is_empty() {
            return Ok(());
        }
        let (name, head, values) = self.pack(&new);
        self.folder.store(&name, &[&head, &values])?;
        self.limit_packs()
    }

    /// Returns the name of a pack with these functions, its parts up to the index, and its values.
    fn pack(&self, new: &NewFunctions) -> (String, Vec<u8>, Vec<u8>) {
        // The order is fixed, so that the same functions make the same pack.
        let mut entries: Vec<_> = new.values.iter().collect();
        entries.sort_unstable();
        let count = entries.len() as u32;
        let mut index = Vec::with_capacity(entries.len() * ENTRY);
        let mut values = Vec::with_capacity(new.bytes as usize);
        let start = (HEAD + entries.len() * ENTRY) as u64;
        for (key, value) in entries {
            index.extend_from_slice(key);
            index.extend_from_slice(&(start + values.len() as u64).to_le_bytes());
            index.extend_from_slice(&(value.len() as u32).to_le_bytes());
            index.extend_from_slice(&check_of(key, value));
            values.extend_from_slice(value);
        }
        let digest = digest_of(&self.fingerprint, count, &index);
        let head = [
            FUNCTIONS_MAGIC,
            &digest,
            &self.fingerprint,
            &count.to_le_bytes(),
            &index,
        ];
        (hex::encode(digest) + FUNCTIONS, head.concat(), values)
    }

    /// Deletes packs until there are at most `MAX_PACKS`.
    fn limit_packs(&self) -> io::Result<()> {
        let files = self.folder.files()?;
        let packs = files
            .iter()
            .filter(|file| file.kind == CachedKind::Functions);
        for pack in packs.skip(MAX_PACKS) {
            self.folder.folder.remove(&pack.name)?;
        }
        Ok(())
    }

    /// Returns how many functions were found, and how many were compiled.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (of(&self.found), of(&self.compiled))
    }
}

impl CacheStore for FunctionStore {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let value = self.find(key.try_into().ok()?);
        let counter = match value {
            Some(_) => &self.found,
            None => &self.compiled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        value.map(Cow::Owned)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let (Some(new), Ok(key)) = (&self.new, key.try_into()) else {
            return false;
        };
        let mut new = new.lock().unwrap_or_else(PoisonError::into_inner);
        let size = (ENTRY + value.len()) as u64;
        let is_full = new.values.len() >= MAX_ENTRIES
            || HEAD as u64 + new.bytes + size > MAX_PACK_BYTES
            || u32::try_from(value.len()).is_err();
        if is_full {
            return false;
        }
        let NewFunctions { values, bytes } = &mut *new;
        match values.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                *bytes += size;
                place.insert(value);
                true
            }
        }
    }
}

impl std::fmt::Debug for FunctionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.index.len();
        write!(f, "FunctionStore({count} functions)")
    }
}

fn check_of(key: &[u8; KEY], value: &[u8]) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(key)
        .chain_update(value)
        .finalize()
        .into();
    let mut check = [0; CHECK];
    check.copy_from_slice(&digest[..CHECK]);
    check
}

fn digest_of(fingerprint: &[u8; 32], count: u32, index: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(fingerprint)
        .chain_update(count.to_le_bytes())
        .chain_update(index)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn key(n: u8) -> [u8; KEY] {
        [n; KEY]
    }

    /// Opens a store in a new folder, with the first entries already in a pack.
    struct Place {
        parent: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            Self { parent }
        }

        fn folder(&self) -> std::path::PathBuf {
            self.parent.path().join("cache")
        }

        fn open(&self, keeps_new: bool) -> FunctionStore {
            FunctionStore::open(&self.folder(), b"engine", keeps_new).unwrap()
        }

        fn keep(&self, keys: &[u8]) {
            let store = self.open(true);
            for n in keys {
                assert!(store.insert(&key(*n), vec![*n; 100]));
            }
            store.finish().unwrap();
        }

        fn packs(&self) -> Vec<std::path::PathBuf> {
            let entries = fs::read_dir(self.folder()).unwrap();
            let paths = entries.map(|entry| entry.unwrap().path());
            let mut packs: Vec<_> = paths
                .filter(|path| path.extension().is_some_and(|it| it == "functions"))
                .collect();
            packs.sort();
            packs
        }
    }

    #[test]
    fn functions_are_found_by_later_compilations() {
        let place = Place::new();
        let first = place.open(true);
        assert!(first.get(&key(1)).is_none());
        assert!(first.insert(&key(1), b"one".to_vec()));
        assert!(!first.insert(&key(1), b"one".to_vec()));
        assert!(!first.insert(b"short", b"one".to_vec()));
        // This compilation does not find its own functions: each is compiled once.
        assert!(first.get(&key(1)).is_none());
        first.finish().unwrap();
        first.finish().unwrap();
        assert_eq!(place.packs().len(), 1);
        let second = place.open(true);
        assert_eq!(second.get(&key(1)).unwrap(), &b"one"[..]);
        assert!(second.get(&key(2)).is_none() && second.get(b"short").is_none());
        assert_eq!(second.counts(), (1, 1));
        second.finish().unwrap();
        assert_eq!(place.packs().len(), 1, "nothing is new");
        place.keep(&[2, 3]);
        assert_eq!(place.packs().len(), 2);
        let all = place.open(false);
        let values = [1, 2, 3].map(|n| all.get(&key(n)).map(|value| value.len()));
        assert_eq!(values, [Some(3), Some(100), Some(100)]);
    }

    #[test]
    fn other_compilations_leave_nothing() {
        let place = Place::new();
        place.keep(&[]);
        let reader = place.open(false);
        assert!(!reader.insert(&key(1), vec![1]));
        reader.finish().unwrap();
        assert!(place.packs().is_empty());
    }

    #[test]
    fn packs_that_are_damaged_or_of_another_version_are_not_used() {
        let place = Place::new();
        place.keep(&[1, 2, 3]);
        let pack = place.packs().remove(0);
        let bytes = fs::read(&pack).unwrap();
        let found = || {
            let store = place.open(false);
            [1, 2, 3].map(|n| store.get(&key(n)).is_some())
        };
        assert_eq!(found(), [true; 3]);
        let other = FunctionStore::open(&place.folder(), b"other engine", false).unwrap();
        assert!(other.get(&key(1)).is_none());
        // Every byte matters: those before the values for all functions, others for one.
        let values = HEAD + 3 * ENTRY;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&pack, &damaged).unwrap();
            let mut expected = [false; 3];
            if at >= values {
                expected = [true; 3];
                expected[(at - values) / 100] = false;
            }
            assert_eq!(found(), expected, "byte {at}");
        }
        for len in 0..bytes.len() {
            fs::write(&pack, &bytes[..len]).unwrap();
            let whole = len.saturating_sub(values) / 100;
            assert_eq!(found(), [1, 2, 3].map(|n| n <= whole), "{len} bytes");
        }
    }

    #[test]
    fn a_store_is_bounded() {
        let place = Place::new();
        let store = place.open(true);
        // More than fits into a pack is compiled again the next time.
        let half = MAX_PACK_BYTES as usize / 2;
        assert!(store.insert(&key(1), vec![0; half]));
        assert!(!store.insert(&key(2), vec![0; half]));
        assert!(store.insert(&key(3), vec![0; 10]));
        drop(store);
        for n in 0..MAX_PACKS as u8 {
            place.keep(&[n]);
            for pack in place.packs() {
                let file = fs::File::options().write(true).open(&pack).unwrap();
                let used = file.metadata().unwrap().modified().unwrap();
                file.set_modified(used - Duration::from_secs(7_200))
                    .unwrap();
            }
        }
        let before = place.packs();
        assert_eq!(before.len(), MAX_PACKS);
        // The oldest pack is used, so that the next one is deleted.
        let store = place.open(true);
        assert!(store.get(&key(0)).is_some());
        assert!(store.insert(&key(99), vec![99]));
        store.finish().unwrap();
        assert_eq!(place.packs().len(), MAX_PACKS);
        let store = place.open(false);
        let found = [0, 1, 2, 99].map(|n| store.get(&key(n)).is_some());
        assert_eq!(found, [true, false, true, true]);
        let used = fs::metadata(&before[0]).map(|it| it.modified().unwrap());
        assert!(used.is_err() || used.unwrap() <= SystemTime::now());
    }
}
