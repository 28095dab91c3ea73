//! Reading with limits, and writing that leaves either the whole file or none.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Code, Failure};

fn cannot_read(e: std::io::Error, path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("cannot read: {e}")).in_file(path)
}

/// Opens a regular file: a pipe without a writer would make us wait for ever.
fn open(path: &Path) -> Result<fs::File, Failure> {
    let failed = |e| cannot_read(e, path);
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Failure::new(Code::Usage, "not a file").in_file(path));
    }
    fs::File::open(path).map_err(failed)
}

/// Reads a file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |e| cannot_read(e, path);
    let file = open(path)?;
    let len = file.metadata().map_err(failed)?.len();
    if len > limit {
        let message = format!("{len} bytes are more than the limit of {limit}");
        return Err(Failure::new(Code::Limit, message).in_file(path));
    }
    // Bounded by what is read, not by what the size was a moment ago.
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(Code::Limit, "the file grows beyond the limit").in_file(path));
    }
    Ok(bytes)
}

/// The first bytes of a file, at most `len`: enough to see what it is.
pub fn head(path: &Path, len: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    open(path)?
        .take(len)
        .read_to_end(&mut bytes)
        .map_err(|e| cannot_read(e, path))?;
    Ok(bytes)
}

/// Writes a file atomically: a temporary file in the same directory, flushed to disk, renamed over
/// the target, and the directory flushed. On any error the target is untouched and nothing is left.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_for(path, bytes, Readers::Everyone)
}

/// The same, readable by its owner only and never by anyone else, not even for a moment.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_for(path, bytes, Readers::Owner)
}

/// Who may read a file, where the system has permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Everyone,
    Owner,
}

fn write_for(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Failure> {
    write_io(path, bytes, readers)
        .map_err(|e| Failure::new(Code::Usage, format!("cannot write: {e}")).in_file(path))
}

fn write_io(path: &Path, bytes: &[u8], readers: Readers) -> std::io::Result<()> {
    // A device or a pipe is written to, not replaced.
    if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(bytes);
    }
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".provenn-")
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    if readers == Readers::Everyone {
        set_permissions(file.as_file())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself must survive a power cut too. Not every system can open a directory.
    if let Ok(dir) = fs::File::open(dir) {
        dir.sync_all().ok();
    }
    Ok(())
}

/// Temporary files are their owner's alone; verifying keys and proofs get the usual permissions.
#[cfg(unix)]
fn set_permissions(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_permissions(_file: &fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Creates a directory and its parents.
pub fn create_dir(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path)
        .map_err(|e| Failure::new(Code::Usage, format!("cannot create: {e}")).in_file(path))
}
