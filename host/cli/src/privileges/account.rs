//! The user that a live capture runs as.

use std::env;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::Files;
use crate::exit::Failure;

/// The number of `nobody` where the system has no such name.
const NOBODY: u32 = 65_534;

/// A user, and why it is this one.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// For people: with its number.
    pub(super) name: String,
    pub(super) why: String,
    /// Its home folder, if it has one.
    home: Option<PathBuf>,
}

impl Account {
    /// Chooses the user for a run that was started as root: the one asked for, who invoked sudo, or the
    /// owner of what is written. Returns `None` if the process keeps the user that it has.
    ///
    /// # Errors
    ///
    /// The user asked for does not exist, or cannot be had without being root.
    pub(crate) fn choose(
        asked: Option<&str>,
        output: Option<&Path>,
    ) -> Result<Option<Self>, Failure> {
        let own = geteuid();
        if let Some(asked) = asked {
            let account = Self::asked(asked)?;
            return match own.is_root() {
                true => Ok(Some(account)),
                false if account.uid == own => Ok(None),
                false => Err(Failure::usage(format_args!(
                    "--user {asked}: only root can run as another user; leave it out, or use sudo"
                ))),
            };
        }
        if !own.is_root() {
            return Ok(None);
        }
        let number = |name| env::var(name).ok()?.parse::<u32>().ok();
        if let Some(uid) = number("SUDO_UID").filter(|uid| *uid != 0) {
            let gid = number("SUDO_GID").unwrap_or(uid);
            return Ok(Some(Self::numbered(uid, gid, "who invoked sudo".into())));
        }
        let Some((path, owner)) = output.and_then(written) else {
            let found = User::from_name("nobody").ok().flatten();
            let (uid, gid) = found.map_or((NOBODY, NOBODY), |user| {
                (user.uid.as_raw(), user.gid.as_raw())
            });
            return Ok(Some(Self::numbered(uid, gid, "nothing is written".into())));
        };
        let why = format!("who owns {}", path.display());
        Ok(Some(Self::numbered(owner.uid(), owner.gid(), why)))
    }

    fn asked(asked: &str) -> Result<Self, Failure> {
        let why = "as --user says".to_owned();
        if let Ok(uid) = asked.parse::<u32>() {
            return Ok(Self::numbered(uid, uid, why));
        }
        match User::from_name(asked) {
            Ok(Some(user)) => Ok(Self::of(user, why)),
            Ok(None) => Err(Failure::usage(format_args!(
                "--user {asked}: there is no user of that name; give a name or a number"
            ))),
            Err(error) => Err(Failure::failed(format_args!(
                "--user {asked}: the name cannot be looked up: {error}; give the number"
            ))),
        }
    }

    /// The user of this number. The group stands in where the system does not know the user.
    fn numbered(uid: u32, gid: u32, why: String) -> Self {
        match User::from_uid(Uid::from_raw(uid)) {
            Ok(Some(user)) => Self::of(user, why),
            _ => Self {
                uid: Uid::from_raw(uid),
                gid: Gid::from_raw(gid),
                name: uid.to_string(),
                why,
                home: None,
            },
        }
    }

    fn of(user: User, why: String) -> Self {
        Self {
            name: format!("{} ({})", user.name, user.uid),
            uid: user.uid,
            gid: user.gid,
            why,
            home: Some(user.dir).filter(|home| home.is_dir()),
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// Returns where this user keeps compiled plugins, if it has a home folder.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".cache/flowloom"))
    }
}

/// What is written, and whose it is: the folder of the output's files, or a device or pipe that not
/// everybody may write to.
fn written(output: &Path) -> Option<(&Path, Metadata)> {
    let path = Files::written(output);
    let data = fs::metadata(path).ok()?;
    let kind = data.file_type();
    let is_open_to_all = data.mode() & 0o002 != 0;
    match (kind.is_char_device() || kind.is_fifo()) && is_open_to_all {
        true => None,
        false => Some((path, data)),
    }
}
