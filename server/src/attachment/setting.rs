//! What the tests of attachments stand on: the named people with a phone each, files, and the deeds of a tus client.

use super::{
    router,
    staging::{self, Upload},
};
use crate::{
    app::App,
    fixture::{self, People, Reply, TestApp},
    session::SignedIn,
};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, request::Builder},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kieumau_core::{hash::Sha256, id::UnitId};
use std::{net::SocketAddr, path::PathBuf};
use tokio::net::TcpListener;

/// A server with its people and their phones.
pub struct Setting {
    pub app: TestApp,
    pub people: People,
    pub an: Phone,
    pub ha: Phone,
    pub binh: Phone,
    pub chi: Phone,
}

/// One on each database there is.
pub async fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    for app in fixture::apps().await {
        let people = People::new(&app).await;
        settings.push(Setting {
            an: Phone::enrolled(&app, &people.an).await,
            ha: Phone::enrolled(&app, &people.ha).await,
            binh: Phone::enrolled(&app, &people.binh).await,
            chi: Phone::enrolled(&app, &people.chi).await,
            people,
            app,
        });
    }
    settings
}

/// An enrolled phone with a token: what its requests say in `Authorization`.
pub struct Phone {
    pub authorization: String,
}

impl Phone {
    async fn enrolled(app: &App, person: &SignedIn) -> Self {
        let (phone, key) = fixture::enrolled(app, person).await;
        Self {
            authorization: fixture::bearer(app, phone, &key).await,
        }
    }
}

/// `size` bytes that begin as a JPEG does; another seed, another file.
pub fn photo(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    let head = [0xff, 0xd8, 0xff, 0xe0];
    head.into_iter().chain(noise).take(size).collect()
}

/// The metadata that announces this hash.
pub fn announcement(sha256: Sha256) -> String {
    let value = BASE64_STANDARD.encode(sha256.to_string());
    format!("filename aW1nLmpwZw==,sha256 {value}")
}

impl Setting {
    /// A request of this phone, in tus.
    pub fn request(&self, phone: &Phone, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("tus-resumable", "1.0.0")
            .header("authorization", &phone.authorization)
    }

    /// Serves on a real socket.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = router().with_state(self.app.clone());
        tokio::spawn(async { axum::serve(listener, service).await });
        address
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        fixture::send(&self.app, router(), request).await
    }

    /// Creates an upload for `file`, announced as itself.
    pub async fn create(&self, phone: &Phone, file: &[u8]) -> Reply {
        let request = self
            .request(phone, Method::POST, "/v1/attachments")
            .header("upload-length", file.len())
            .header("upload-metadata", announcement(Sha256::of(file)));
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// Creates an upload and says where it is.
    pub async fn created(&self, phone: &Phone, file: &[u8]) -> String {
        let reply = self.create(phone, file).await;
        assert_eq!(reply.status, StatusCode::CREATED);
        header(&reply, "location").to_owned()
    }

    pub fn patching(&self, phone: &Phone, path: &str, offset: usize) -> Builder {
        self.request(phone, Method::PATCH, path)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", offset)
    }

    pub async fn patch(&self, phone: &Phone, path: &str, offset: usize, bytes: &[u8]) -> Reply {
        let request = self.patching(phone, path, offset);
        self.send(request.body(bytes.to_vec().into()).expect("a request"))
            .await
    }

    /// How far the upload is, as HEAD says.
    pub async fn offset(&self, phone: &Phone, path: &str) -> Result<usize, StatusCode> {
        let request = self.request(phone, Method::HEAD, path);
        let reply = self
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        if reply.status == StatusCode::OK {
            Ok(header(&reply, "upload-offset").parse().expect("a number"))
        } else {
            Err(reply.status)
        }
    }

    /// Sends `file` whole.
    pub async fn bring(&self, phone: &Phone, file: &[u8]) -> Sha256 {
        let path = self.created(phone, file).await;
        let reply = self.patch(phone, &path, 0, file).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        Sha256::of(file)
    }

    /// The row of an upload.
    pub async fn row(&self, path: &str) -> Upload {
        let (_, id) = path.rsplit_once('/').expect("a path");
        Upload::find(&self.app, id.parse().expect("an id"), 0)
            .await
            .expect("the database answers")
            .expect("the upload is there")
    }

    /// Where the bytes of an upload under way lie.
    pub fn staged_file(&self, path: &str) -> PathBuf {
        let (_, id) = path.rsplit_once('/').expect("a path");
        staging::folder(&self.app).join(id)
    }

    /// GET by a phone, which is not tus.
    pub async fn fetch(&self, phone: &Phone, sha256: Sha256) -> Reply {
        let request = self.request(phone, Method::GET, &format!("/v1/attachments/{sha256}"));
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// GET on a page, with more headers.
    pub async fn open(
        &self,
        person: &SignedIn,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Reply {
        let cookie = fixture::cookie(&self.app, person).await;
        let mut request = Request::builder().uri(path).header("cookie", cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// A document of the unit, with this file hanging on it.
    pub async fn hang(&self, document: &str, unit: UnitId, sha256: Sha256) {
        self.run(
            "insert into document (document_id, kind, unit_id, name, wrapped_key, first_received_at_ms, size_bytes, \
                 heads, checked_heads, projected_heads) \
             values ($1, 'any', $2, $1, $3, 0, 0, '', '', '')",
            &[document, &unit.to_string()],
            Some(vec![0]),
        )
        .await;
        self.run(
            "insert into attachment_use (document_id, attachment_id, sha256, size_bytes, media_type, attached_at_ms, attached_by) \
             values ($1, $1, $2, 1, 'image/jpeg', 0, 'x')",
            &[document, &sha256.to_string()],
            None,
        )
        .await;
    }

    /// Runs one statement.
    pub async fn run(&self, sql: &'static str, texts: &[&str], bytes: Option<Vec<u8>>) {
        let mut tx = self.app.database.begin().await.expect("a transaction");
        let mut query = sqlx::query(sql);
        for text in texts {
            query = query.bind((*text).to_owned());
        }
        if let Some(bytes) = bytes {
            query = query.bind(bytes);
        }
        query.execute(&mut *tx).await.expect("it runs");
        tx.commit().await.expect("committed");
    }
}

/// A header that must be there.
pub fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let value = reply.headers.get(name).expect("the header is there");
    value.to_str().expect("text")
}
