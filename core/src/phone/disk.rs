//! The files of the phone's folder that are not SQLite's to move: what has its name is whole, and on the disk once its folder is.
//!
//! A phone may die between any two of these operations. So each begins with a [`step`], where a test looks at what is left by then, or
//! says that the disk is full. What is left is known by its names alone to the next opening (`damage::take_up`).

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Before each operation.
fn step() -> io::Result<()> {
    #[cfg(test)]
    died::here()?;
    Ok(())
}

/// Copies a file so that the copy has its name only once it is whole on the disk.
pub(super) fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    write_whole(to, |part| {
        io::copy(&mut File::open(from)?, part)?;
        Ok(())
    })
}

/// Writes a file that has its name only once it is whole on the disk.
pub(super) fn write_whole(
    to: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    step()?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = to.with_file_name(name);
    let mut file = File::create(&part)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // What is not whole only takes the room that was missing.
        fs::remove_file(&part)?;
        return Err(error);
    }
    rename(&part, to)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    fs::rename(from, to)
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    step()?;
    gone(fs::remove_file(path))
}

pub(super) fn remove_folder_if_there(path: &Path) -> io::Result<()> {
    step()?;
    gone(fs::remove_dir_all(path))
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    step()?;
    File::open(folder)?.sync_all()
}

/// Whether a file is there and has something in it.
pub(super) fn is_there(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Dying, for tests: what lies in a folder before each operation of this thread, or a disk that is full at one of them.
#[cfg(test)]
pub(super) mod died {
    use std::{
        cell::RefCell,
        fs, io,
        path::{Path, PathBuf},
    };

    enum Dying {
        /// What a phone that is killed now leaves in the first folder is copied into the second, numbered.
        Killed(PathBuf, PathBuf, usize),
        /// After so many operations the disk is full.
        Full(usize),
    }

    thread_local! {
        static DYING: RefCell<Option<Dying>> = const { RefCell::new(None) };
    }

    pub(super) fn here() -> io::Result<()> {
        DYING.with_borrow_mut(|dying| match dying {
            None => Ok(()),
            Some(Dying::Killed(folder, left, number)) => {
                copy_folder(folder, &left.join(number.to_string()));
                *number += 1;
                Ok(())
            }
            Some(Dying::Full(0)) => Err(io::ErrorKind::StorageFull.into()),
            Some(Dying::Full(more)) => {
                *more -= 1;
                Ok(())
            }
        })
    }

    /// From now on what lies in `folder` before each operation is copied to `left`, until [`no_more`].
    pub(in crate::phone) fn killed(folder: &Path, left: &Path) {
        DYING.set(Some(Dying::Killed(folder.to_owned(), left.to_owned(), 0)));
    }

    /// The disk is full after so many more operations, until [`no_more`].
    pub(in crate::phone) fn full(after: usize) {
        DYING.set(Some(Dying::Full(after)));
    }

    /// Ends it; how many operations there were for [`killed`].
    pub(in crate::phone) fn no_more() -> usize {
        match DYING.take() {
            Some(Dying::Killed(_, _, number)) => number,
            _ => 0,
        }
    }

    pub(in crate::phone) fn copy_folder(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("reads") {
            let entry = entry.expect("reads");
            let to = to.join(entry.file_name());
            if entry.file_type().expect("reads").is_dir() {
                copy_folder(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
}
