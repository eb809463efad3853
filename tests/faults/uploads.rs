//! F10: uploads by who does not keep the protocol, and files that are not what they say. Each is answered with its status, what ends
//! well has its hash, pictures that would fill a machine make no thumbnail and take no worker beyond its limits, and nothing that
//! could run is kept, let alone served. The twin is the same upload done right, and the same pictures decoded without a worker.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use kieumau_core::{hash::Sha256, problem::Problem};
use kieumau_tests::{
    driver::Driver,
    watch::{self, Watch},
    world::World,
};
use reqwest::{Method, Response, StatusCode};
use std::time::{Duration, Instant};

const UPLOADS: &str = "/v1/attachments";
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
const OCTETS: (&str, &str) = ("content-type", "application/offset+octet-stream");
const PICTURE: &[u8] = include_bytes!("../tests/picture.jpg");
/// How long the pictures may take together, each of them up to all the processor time of a job.
const WAIT: Duration = Duration::from_secs(180);
/// What a worker may map.
const MEMORY_KIB: u64 = 256 << 10;

/// A status and the stable word of a problem, if it is one.
async fn said(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("whole");
    let problem = serde_json::from_slice::<Problem>(&body).ok();
    let word = problem.map_or_else(String::new, |problem| problem.word().to_owned());
    (status, word)
}

/// Announces an upload of a file; its answer.
async fn create(chi: &Driver, sha256: Sha256, length: &str, more: &str) -> Response {
    let hash = STANDARD.encode(sha256.to_string());
    let metadata = format!("sha256 {hash}{more}");
    let headers = [
        TUS,
        ("upload-length", length),
        ("upload-metadata", &metadata),
    ];
    chi.ask(Method::POST, UPLOADS, &headers, b"").await
}

/// An upload of a file: where it is.
async fn begun(chi: &Driver, file: &[u8]) -> String {
    let answer = create(chi, Sha256::of(file), &file.len().to_string(), "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().expect("text");
    location.to_owned()
}

async fn piece(chi: &Driver, upload: &str, offset: &str, bytes: &[u8]) -> (u16, String) {
    let headers = [TUS, OCTETS, ("upload-offset", offset)];
    said(chi.ask(Method::PATCH, upload, &headers, bytes).await).await
}

/// Uploads a whole file; how that ended.
async fn upload(chi: &Driver, file: &[u8]) -> (u16, String) {
    let upload = begun(chi, file).await;
    piece(chi, &upload, "0", file).await
}

/// The file of this hash as the phone gets it back; none if there is none.
async fn read_back(chi: &Driver, sha256: Sha256) -> Option<Vec<u8>> {
    let answer = chi
        .ask(Method::GET, &format!("{UPLOADS}/{sha256}"), &[], b"")
        .await;
    let there = answer.status().is_success();
    let bytes = answer.bytes().await.expect("whole");
    there.then(|| bytes.to_vec())
}

/// A picture of our own: each is another file.
fn picture(number: u8) -> Vec<u8> {
    [PICTURE, &[number]].concat()
}

/// Offsets and lengths that no client means.
async fn wrong_numbers(chi: &Driver) -> usize {
    let file = picture(1);
    let at = begun(chi, &file).await;
    let conflict = (409, "wrong-offset".to_owned());
    let malformed = (400, "malformed".to_owned());
    let past = (file.len() + 1).to_string();
    let cases = [
        ("3", conflict.clone()),
        (past.as_str(), conflict.clone()),
        ("9223372036854775807", conflict.clone()),
        ("9223372036854775808", conflict.clone()),
        ("18446744073709551615", conflict),
        ("18446744073709551616", malformed.clone()),
        ("-1", malformed.clone()),
        ("1e3", malformed.clone()),
        ("", malformed),
    ];
    for (offset, right) in &cases {
        assert_eq!(
            piece(chi, &at, offset, b"abc").await,
            *right,
            "offset {offset}"
        );
    }
    let lengths = [
        ("0", (422, "invalid")),
        ("-1", (400, "malformed")),
        ("9223372036854775808", (413, "too-large")),
        ("18446744073709551616", (400, "malformed")),
        ("many", (400, "malformed")),
    ];
    for (length, (status, word)) in lengths {
        let answer = said(create(chi, Sha256::of(&file), length, "").await).await;
        assert_eq!(answer, (status, word.to_owned()), "length {length}");
    }
    // More than was announced, and then the whole: what was refused left nothing behind.
    let longer = [&file[..], b"more"].concat();
    assert_eq!(
        piece(chi, &at, "0", &longer).await,
        (413, "too-large".to_owned())
    );
    assert_eq!(piece(chi, &at, "0", &file).await.0, 204);
    assert_eq!(read_back(chi, Sha256::of(&file)).await, Some(file));
    cases.len() + lengths.len() + 1
}

/// A wrong checksum of a piece, and a file that is not the announced one.
async fn wrong_digests(chi: &Driver) -> usize {
    let (file, other) = (picture(2), picture(3));
    let at = begun(chi, &file).await;
    let sum = format!("sha256 {}", STANDARD.encode(Sha256::of(&other).as_bytes()));
    let headers = [
        TUS,
        OCTETS,
        ("upload-offset", "0"),
        ("upload-checksum", &sum),
    ];
    let answer = chi.ask(Method::PATCH, &at, &headers, &file).await;
    assert_eq!(said(answer).await, (460, "checksum-mismatch".to_owned()));
    assert_eq!(
        piece(chi, &at, "0", &other).await,
        (460, "hash-mismatch".to_owned())
    );
    assert_eq!(read_back(chi, Sha256::of(&file)).await, None);
    assert_eq!(read_back(chi, Sha256::of(&other)).await, None);
    // The twin: the announced file.
    assert_eq!(upload(chi, &file).await.0, 204);
    assert_eq!(read_back(chi, Sha256::of(&file)).await, Some(file));
    2
}

/// Two requests that write one upload, and two uploads of one file.
async fn two_at_once(chi: &Driver) -> usize {
    let mut ended = 0;
    for number in 10..20 {
        let file = picture(number);
        let at = begun(chi, &file).await;
        let (one, two) = tokio::join!(piece(chi, &at, "0", &file), piece(chi, &at, "0", &file));
        let statuses = [one.0, two.0];
        assert!(statuses.contains(&204), "{one:?} {two:?}");
        let other = if one.0 == 204 { &two } else { &one };
        // At the end it is told that all is there, that it stands elsewhere, or that another writes.
        let right = [
            (409, "wrong-offset"),
            (423, "upload-busy"),
            (413, "too-large"),
            (204, ""),
        ];
        assert!(right.contains(&(other.0, other.1.as_str())), "{other:?}");
        assert_eq!(read_back(chi, Sha256::of(&file)).await, Some(file));
        let file = picture(number + 20);
        let (one, two) = tokio::join!(upload(chi, &file), upload(chi, &file));
        assert_eq!((one.0, two.0), (204, 204), "{one:?} {two:?}");
        assert_eq!(read_back(chi, Sha256::of(&file)).await, Some(file));
        ended += 2;
    }
    ended
}

/// Files that a browser would run.
async fn what_runs(chi: &Driver) -> usize {
    let svg: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let html: &[u8] = b"<!doctype html><script>alert(1)</script>";
    let padded = [b" \n\t".as_slice(), html, &[b' '; 4_096]].concat();
    let refused = (415, "wrong-kind".to_owned());
    let files = [
        svg,
        html,
        &padded,
        b"<?xml version=\"1.0\"?><svg/>",
        b"MZ\x90\0\x03\0\0\0",
    ];
    for file in files {
        assert_eq!(upload(chi, file).await, refused, "{:?}", &file[..8]);
        assert_eq!(read_back(chi, Sha256::of(file)).await, None);
    }
    for word in ["image/svg+xml", "text/html"] {
        let more = format!(",filetype {}", STANDARD.encode(word));
        let answer = create(chi, Sha256::of(svg), "70", &more).await;
        assert_eq!(said(answer).await, refused, "{word}");
    }
    files.len() + 2
}

/// A PNG of so many black pixels a side: some hundred kilobytes, whatever they are.
fn black(side: u32) -> Vec<u8> {
    let mut png = Vec::new();
    let pixels = vec![0; side as usize * side as usize];
    PngEncoder::new(&mut png)
        .write_image(&pixels, side, side, ExtendedColorType::L8)
        .expect("encodes");
    png
}

/// A PNG whose header says that it has so many pixels a side.
fn boastful(side: u32) -> Vec<u8> {
    let mut png = black(16);
    for at in [16, 20] {
        png[at..at + 4].copy_from_slice(&side.to_be_bytes());
    }
    // The checksum of the header: CRC-32 over its type and bytes.
    let crc = png[12..29].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    png
}

/// A JPEG whose frame says that it is 65,500 pixels high and wide.
fn boastful_jpeg() -> Vec<u8> {
    let mut jpeg = picture(60);
    let frame = |pair: &[u8]| pair == [0xff, 0xc0] || pair == [0xff, 0xc2];
    let at = jpeg.windows(2).position(frame).expect("a frame");
    jpeg[at + 5..at + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    jpeg
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_lies_is_refused_in_words_and_a_picture_that_bursts_hurts_nobody() {
    let world = World::on(None).await;
    // A chief's phone: she reads every file of the unit, whatever it hangs on.
    let chi = Driver::enrol(&world.server, "chi").await;
    let server = world.server.id().expect("it runs");
    let workers = Watch::children_of(server);
    let numbers = wrong_numbers(&chi).await;
    let digests = wrong_digests(&chi).await;
    let twice = two_at_once(&chi).await;
    let ran = what_runs(&chi).await;
    let bombs = [
        boastful(100_000),
        boastful(12_000),
        boastful_jpeg(),
        black(15_000),
        black(11_900),
    ];
    for bomb in &bombs {
        assert_eq!(upload(&chi, bomb).await.0, 204);
    }
    // A good one behind them: when it has its thumbnail, they were tried.
    let good = picture(61);
    assert_eq!(upload(&chi, &good).await.0, 204);
    let desk = world.desk("chi").await;
    let unit = chi.enrolled.unit;
    let small = |sha256: Sha256| format!("/attachments/{unit}/{sha256}/thumbnail");
    let begun = Instant::now();
    while desk.read(&small(Sha256::of(&good))).await.0 != StatusCode::OK {
        assert!(begun.elapsed() < WAIT, "the good picture has no thumbnail");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut thumbnails = 0;
    for bomb in &bombs {
        let sha256 = Sha256::of(bomb);
        thumbnails += usize::from(desk.read(&small(sha256)).await.0 == StatusCode::OK);
        // The original is kept, whatever it is: it is what the officer recorded.
        assert_eq!(read_back(&chi, sha256).await.as_ref(), Some(bomb));
    }
    let seen = workers.end();
    let peak = seen.values().map(|seen| seen.mapped_kib).max().unwrap_or(0);
    println!(
        "F10 numbers={numbers} digests={digests} at_once={twice} could_run={ran} bombs={} thumbnails={thumbnails} aborts=0 \
         worker_mapped_mib={}",
        bombs.len(),
        peak >> 10,
    );
    assert!(peak <= MEMORY_KIB, "{seen:?}");
    assert_eq!(world.server.id(), Some(server), "the server never ended");
    assert!(watch::look(server).is_some(), "the server runs");
}

/// The twin: the same pictures decoded without a worker's limits.
#[test]
fn the_twin_decodes_the_same_pictures_without_limits_and_takes_more_than_a_worker_may() {
    let decoded = image::load_from_memory(&black(15_000)).expect("it is a picture");
    // And what draws it needs four bytes for each pixel.
    let bytes = u64::from(decoded.width()) * u64::from(decoded.height()) * 4;
    println!(
        "F10 twin without limits: {} MiB for one picture",
        bytes >> 20
    );
    assert!(bytes >> 10 > MEMORY_KIB);
}
