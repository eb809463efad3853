//! Files: each is sent from wherever the server is with it (tus 1.0), and one that fails holds up nothing else.

use super::{Event, Session};
use crate::{
    hash::Sha256,
    phone::{
        PhoneError, Why,
        attachments::{Unsent, UnsentPreview},
        client::UPLOAD_CHUNK,
    },
};
use std::time::Instant;

impl Session<'_> {
    /// Sends one file whole. One that fails by itself (unreadable here, refused there) stays behind and holds up nothing.
    pub(super) async fn upload(&mut self) -> Result<(bool, bool), PhoneError> {
        // A line that has not shown that it bears more gets the small pictures of all photos before the first photo.
        if self.pace.is_slow()
            && let Some(preview) = self.phone.unsent_preview().await?
        {
            self.send_preview(&preview).await?;
            return Ok((false, false));
        }
        let files = self.phone.unsent_files().await?;
        let Some(file) = files
            .into_iter()
            .find(|file| !self.failed_files.contains(&file.sha256))
        else {
            return Ok((false, false));
        };
        match self.send_file(&file).await {
            Ok(()) => {
                self.asked.forget();
                Ok((true, false))
            }
            Err(error @ PhoneError::Offline { .. }) => Err(error),
            // It is the phone that is not let in, whatever file it brings.
            Err(error @ PhoneError::SignedOut { .. }) => Err(error),
            Err(error) => {
                // A piece that was refused is sent again as one that broke off.
                self.pace.broke();
                let mut way = self.phone.syncing.way.write().await;
                way.files.insert(file.sha256, Why::of(&error));
                drop(way);
                self.failed_files.insert(file.sha256);
                self.report.failed_files += 1;
                Ok((false, false))
            }
        }
    }

    /// Sends the small picture of a photo. One that broke off begins anew, for it is small; one that fails by itself is not tried
    /// again, for the photo comes after it.
    async fn send_preview(&mut self, preview: &UnsentPreview) -> Result<(), PhoneError> {
        let bytes = preview.file.read(0, usize::MAX).await;
        let sent = match bytes {
            Ok(bytes) => self.preview_sent(preview.of, bytes).await,
            Err(error) => Err(error),
        };
        match sent {
            Err(error @ PhoneError::Offline { .. }) => return Err(error),
            Err(PhoneError::SignedOut { word })
                if word.starts_with("token-") || word.starts_with("phone-") =>
            {
                return Err(PhoneError::SignedOut { word });
            }
            _ => {}
        }
        let mut store = self.phone.store().await;
        sqlx::query("update attachment set preview_sent_at_ms = $1 where sha256 = $2")
            .bind(self.phone.now_ms())
            .bind(preview.of.to_string())
            .execute(&mut store.connection)
            .await?;
        Ok(())
    }

    async fn preview_sent(&mut self, of: Sha256, bytes: Vec<u8>) -> Result<(), PhoneError> {
        let size = bytes.len() as u64;
        let url = self
            .client
            .create_upload(self.token()?, Sha256::of(&bytes), size, Some(of))
            .await?;
        // The server may have it already, or the photo itself.
        let mut offset = self.client.upload_offset(self.token()?, &url).await?;
        while let Some(rest) = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)) {
            if rest.is_empty() {
                break;
            }
            let piece = rest[..rest.len().min(self.pace.size())].to_vec();
            let (sent, begun) = (piece.len(), Instant::now());
            offset = self
                .client
                .upload(self.token()?, &url, offset, piece)
                .await?;
            self.pace.went(sent, begun.elapsed());
        }
        Ok(())
    }

    async fn send_file(&mut self, file: &Unsent) -> Result<(), PhoneError> {
        let (url, mut offset) = self.resume(file).await?;
        while offset < file.size_bytes {
            let bytes = file
                .read(offset, self.pace.size().min(UPLOAD_CHUNK))
                .await?;
            let (size, begun) = (bytes.len(), Instant::now());
            offset = self
                .client
                .upload(self.token()?, &url, offset, bytes)
                .await?;
            self.pace.went(size, begun.elapsed());
            let progress = Event::Progress {
                sha256: file.sha256,
                sent_bytes: offset,
                size_bytes: file.size_bytes,
            };
            self.phone.syncing.tell(progress).await;
        }
        let mut store = self.phone.store().await;
        sqlx::query(
            "update attachment set received_at_ms = $1, upload_url = null where sha256 = $2",
        )
        .bind(self.phone.now_ms())
        .bind(file.sha256.to_string())
        .execute(&mut store.connection)
        .await?;
        self.report.sent_files += 1;
        Ok(())
    }

    /// Where the upload is, and how far. One that the server no longer knows begins anew.
    async fn resume(&self, file: &Unsent) -> Result<(String, u64), PhoneError> {
        if let Some(url) = &file.upload_url {
            match self.client.upload_offset(self.token()?, url).await {
                Ok(offset) => return Ok((url.clone(), offset)),
                Err(PhoneError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let url = self
            .client
            .create_upload(self.token()?, file.sha256, file.size_bytes, None)
            .await?;
        let mut store = self.phone.store().await;
        sqlx::query("update attachment set upload_url = $1 where sha256 = $2")
            .bind(&url)
            .bind(file.sha256.to_string())
            .execute(&mut store.connection)
            .await?;
        drop(store);
        // The server may have the file already, from a colleague's phone.
        let offset = self.client.upload_offset(self.token()?, &url).await?;
        Ok((url, offset))
    }
}
