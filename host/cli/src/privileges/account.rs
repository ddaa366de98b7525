//! The user that a live capture runs as.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use flowloom::trusted_variable;
use nix::unistd::{Gid, Uid, User, geteuid};

use super::Files;
use crate::exit::Failure;

/// The user id of `nobody`, if the system has no such name.
const NOBODY: u32 = 65_534;

/// The user of a run, and the reason for this choice.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Name and id, for messages.
    pub(super) name: String,
    /// Reason for the choice, for messages.
    pub(super) why: String,
    /// Home folder, if it exists.
    home: Option<PathBuf>,
}

impl Account {
    /// Chooses the user of a run that was started as root: `requested`, else the user who invoked sudo, else the
    /// owner of the output, else nobody. Returns `None` if the process keeps its user.
    ///
    /// # Errors
    ///
    /// The requested user does not exist, or the process is not root.
    pub(crate) fn choose(
        requested: Option<&str>,
        output: Option<&Path>,
    ) -> Result<Option<Self>, Failure> {
        let own = geteuid();
        if let Some(requested) = requested {
            let account = Self::requested(requested)?;
            return match own.is_root() {
                true => Ok(Some(account)),
                false if account.uid == own => Ok(None),
                false => Err(Failure::usage(format_args!(
                    "--user {requested}: only root can run as another user"
                ))
                .hint("leave it out, or use sudo")),
            };
        }
        if !own.is_root() {
            return Ok(None);
        }
        let number = |name| trusted_variable(name)?.to_str()?.parse::<u32>().ok();
        if let Some(uid) = number("SUDO_UID").filter(|uid| *uid != 0) {
            let gid = number("SUDO_GID").unwrap_or(uid);
            return Ok(Some(Self::numbered(uid, gid, "invoked sudo".into())));
        }
        let Some((path, owner)) = output.and_then(written) else {
            let found = User::from_name("nobody").ok().flatten();
            let (uid, gid) = found.map_or((NOBODY, NOBODY), |user| {
                (user.uid.as_raw(), user.gid.as_raw())
            });
            return Ok(Some(Self::numbered(uid, gid, "no output file".into())));
        };
        let why = format!("owner of {}", path.display());
        Ok(Some(Self::numbered(owner.uid(), owner.gid(), why)))
    }

    fn requested(requested: &str) -> Result<Self, Failure> {
        let why = "chosen by --user".to_owned();
        if let Ok(uid) = requested.parse::<u32>() {
            return Ok(Self::numbered(uid, uid, why));
        }
        match User::from_name(requested) {
            Ok(Some(user)) => Ok(Self::of(user, why)),
            Ok(None) => Err(Failure::usage(format_args!(
                "--user {requested}: no user has this name"
            ))
            .hint("give a name or a number")),
            Err(error) => Err(Failure::failed(format_args!(
                "--user {requested}: cannot look up the name: {error}"
            ))
            .hint("give the number")),
        }
    }

    /// Returns the user with this id. `gid` is used if the system does not know the user.
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

    /// Returns the folder of compiled plugins of this user, or `None` without a home folder.
    pub(crate) fn cache(&self) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(".cache/flowloom"))
    }
}

/// Returns the path that is written, with its owner: the folder of the output, or a device or pipe. Returns `None`
/// for a device or pipe that everybody may write to.
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
