//! What comes to a phone, written down: a page's documents as they came or merged, and its cursor last.

use crate::{
    guard::Guard,
    kept::{Disk, Lain, Row, kept},
    phone::{Phone, Stop},
};
use automerge::Automerge;
use kieumau_core::{
    document::{self, Change, Key},
    hash::Sha256,
    id::DocumentId,
    inbox::{Arrived, Incoming, Page, Sorted},
    outbox::HELD,
    seal::Seal,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

impl Phone {
    /// Takes in what a page brings; whether anything was new. The cursor is written with it or after it.
    pub fn take_documents(
        &mut self,
        page: &Page<'_>,
        cursor: Option<&str>,
        now_ms: i64,
    ) -> Result<bool, Stop> {
        let off = self.off;
        let go_on = |disk: &mut Disk, cursor: Option<&str>| {
            if let Some(cursor) = cursor.filter(|_| off != Some(Guard::Cursor) || page.more) {
                let went = disk.go_on(cursor, now_ms, off);
                went.expect("a page ends in a cursor");
            }
        };
        for id in &page.ungranted {
            self.unfold(*id)?;
            self.commit(|disk| {
                if let Some(kept) = disk.documents.get_mut(id) {
                    kept.ungranted = true;
                }
            })?;
        }
        let disk = &self.disk;
        let sorted = page.sorted(|id| disk.is_new(id));
        let goes_along = sorted.cursor_goes_along();
        let Sorted { whole, others } = sorted;
        if off == Some(Guard::CursorLast) {
            self.commit(|disk| go_on(disk, cursor))?;
        }
        if let Some(cursor) = cursor.filter(|_| !goes_along) {
            let begun = self.disk.whereabouts().begun(cursor);
            if let Some(epoch) = begun.expect("a page ends in a cursor") {
                self.commit(|disk| disk.place.epoch = Some(epoch))?;
            }
        }
        let mut came = !whole.is_empty();
        if !whole.is_empty() {
            let cursor = cursor.filter(|_| goes_along);
            self.commit(|disk| {
                disk.lain
                    .extend(whole.iter().filter_map(|arrived| lain(arrived)));
                go_on(disk, cursor);
            })?;
        }
        for arrived in others {
            came |= self.merge_arrived(arrived)?;
        }
        if let Some(cursor) = cursor.filter(|_| !goes_along && off != Some(Guard::CursorLast)) {
            self.commit(|disk| go_on(disk, Some(cursor)))?;
        }
        Ok(came)
    }

    fn merge_arrived(&mut self, arrived: &Arrived<'_>) -> Result<bool, Stop> {
        let incoming = arrived.incoming().expect("the page was read");
        let incoming = incoming.expect("no version is behind");
        let key = incoming.key.clone();
        // Of what does not unfold nothing is taken.
        let (new, lacking) = match incoming.into_changes() {
            Ok((changes, seals)) => self.merge(&key, &changes, &seals)?,
            Err(_) => (0, 1),
        };
        if lacking > 0 {
            self.commit(|disk| disk.want(key.document(), true))?;
        }
        Ok(new > 0)
    }

    /// Merges what the server sent of one document. How much of it is new, and how much was left aside.
    fn merge(
        &mut self,
        key: &Key,
        changes: &[Change],
        seals: &[Seal],
    ) -> Result<(usize, usize), Stop> {
        let id = key.document();
        let mut document = self.take(key)?;
        let (known, new): (Vec<&Change>, Vec<&Change>) = changes
            .iter()
            .partition(|change| self.disk.row(change.hash).is_some());
        let known: BTreeSet<Sha256> = known.into_iter().map(|change| change.hash).collect();
        let merged = document::merge(&mut document, new).expect("the server passes on changes");
        let (lacking, whole) = (merged.lacking, merged.whole);
        let own = self.disk.documents.get(&id).is_some_and(|kept| kept.own);
        let kept = kept(key, &document, own);
        let count = whole.len();
        self.commit(|disk| {
            for row in disk.rows.iter_mut() {
                if known.contains(&row.change.hash) {
                    row.word = Some(HELD.to_owned());
                }
            }
            disk.documents.insert(id, kept);
            for change in whole {
                // What was refused once and is there after all is in the document again.
                disk.aside.remove(&change.hash);
                disk.rows.push(others(id, change.clone()));
            }
            disk.seals.extend(sealed(id, seals));
        })?;
        if lacking == 0 {
            self.opened.insert(id, document);
        }
        Ok((count, lacking))
    }

    /// Unfolds all there is, before a list.
    pub fn unfold_all(&mut self) -> Result<(), Stop> {
        let folded = self.disk.lain.iter().filter(|lain| !lain.set_aside);
        let folded: BTreeSet<DocumentId> = folded.map(|lain| lain.document).collect();
        folded.into_iter().try_for_each(|id| self.unfold(id))
    }

    /// Unfolds a document if it is not yet. What does not unfold is kept, and asked for in another form.
    pub fn unfold(&mut self, id: DocumentId) -> Result<(), Stop> {
        if !self.disk.is_folded(id) {
            return Ok(());
        }
        let lain = self.disk.lain.iter();
        let lain = lain.filter(|lain| lain.document == id && !lain.set_aside);
        let items: Vec<u8> = lain.flat_map(|lain| lain.items.iter()).copied().collect();
        let unfolded = unfolded(&items);
        self.commit(|disk| match unfolded {
            Some((key, document, changes, seals)) => {
                disk.documents.insert(id, kept(&key, &document, false));
                let rows = changes.into_iter().map(|change| others(id, change));
                disk.rows.extend(rows);
                disk.seals.extend(sealed(id, &seals));
                disk.lain.retain(|lain| lain.document != id);
            }
            None => {
                for lain in &mut disk.lain {
                    lain.set_aside |= lain.document == id;
                }
                disk.want(id, true);
            }
        })
    }
}

fn lain(arrived: &Arrived<'_>) -> Option<Lain> {
    Some(Lain {
        document: arrived.key.as_ref()?.document(),
        items: Rc::new(arrived.items().to_vec()),
        set_aside: false,
    })
}

fn unfolded(items: &[u8]) -> Option<(Key, Automerge, Vec<Change>, Vec<Seal>)> {
    let incoming = Incoming::read(items).ok()??;
    let key = incoming.key.clone();
    let (document, changes, seals) = incoming.into_document().ok()?;
    Some((key, document, changes, seals))
}

/// The row of a change that came from the server.
fn others(document: DocumentId, change: Change) -> Row {
    Row {
        document,
        change: Rc::new(change),
        own: false,
        word: Some(HELD.to_owned()),
    }
}

fn sealed(id: DocumentId, seals: &[Seal]) -> BTreeMap<(DocumentId, Sha256), Seal> {
    seals
        .iter()
        .map(|seal| ((id, seal.change), *seal))
        .collect()
}
