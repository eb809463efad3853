//! What phones rely on: the pin stays while certificates come and go, and another key is never shown by surprise.

use super::*;
use jiff::civil::date;
use std::os::unix::fs::PermissionsExt as _;

const TODAY: Date = date(2026, 11, 27);

fn made(data: &Path) -> Source {
    Source::Made {
        data: data.to_owned(),
        names: vec!["10.0.0.5".to_owned()],
    }
}

fn shown(tls: &Tls) -> Vec<u8> {
    let certified = tls.shown.0.read().expect("not poisoned");
    certified.cert[0].to_vec()
}

/// A certificate and key of the operator's in `folder`.
fn files(folder: &Path, name: &str, pair: &KeyPair) -> Source {
    let certificate = folder.join(format!("{name}.pem"));
    let key = folder.join(format!("{name}.key"));
    let params = CertificateParams::new(vec!["kieumau.example".to_owned()]).expect("a name");
    let signed = params.self_signed(pair).expect("a certificate");
    fs::write(&certificate, signed.pem()).expect("written");
    fs::write(&key, pair.serialize_pem()).expect("written");
    Source::Files { certificate, key }
}

#[test]
fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::open(made(folder.path()), TODAY).expect("made");
    let again = Tls::open(made(folder.path()), TODAY).expect("there");
    assert_eq!(tls.pins, again.pins);
    assert_eq!(shown(&tls), shown(&again));
    let key = folder.path().join(KEY);
    let mode = fs::metadata(&key).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(pin_in(&key).expect("a key"), tls.pins[0]);
    assert_eq!(
        pin_in(&folder.path().join(CERTIFICATE)).expect("a certificate"),
        tls.pins[0]
    );
}

#[test]
fn a_renewed_certificate_keeps_the_pin() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = Tls::open(made(folder.path()), TODAY).expect("made");
    let before = shown(&tls);
    tls.renew(TODAY.saturating_add(700.days())).expect("kept");
    assert_eq!(shown(&tls), before);
    tls.renew(TODAY.saturating_add(750.days()))
        .expect("renewed");
    assert_ne!(shown(&tls), before);
    let later = Tls::open(made(folder.path()), TODAY.saturating_add(760.days()));
    assert_eq!(later.expect("opens").pins, tls.pins);
    // The twin: with the key gone, the pin is another.
    fs::remove_file(folder.path().join(KEY)).expect("removed");
    fs::remove_file(folder.path().join(CERTIFICATE)).expect("removed");
    let other = Tls::open(made(folder.path()), TODAY).expect("made");
    assert_ne!(other.pins, tls.pins);
}

#[test]
fn the_next_key_is_announced_before_it_takes_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let present = Tls::open(made(folder.path()), TODAY).expect("made").pins;
    assert!(switch_to_next(folder.path()).is_err(), "none was prepared");
    let next = prepare_next(folder.path()).expect("made");
    assert_eq!(prepare_next(folder.path()).expect("the same"), next);
    let announced = Tls::open(made(folder.path()), TODAY).expect("opens").pins;
    assert_eq!(announced, [present[0], next]);
    let first = fs::read(folder.path().join(KEY)).expect("there");
    let (switched, kept) = switch_to_next(folder.path()).expect("switched");
    assert_eq!((switched, kept.as_deref()), (next, Some("tls-before.key")));
    assert_eq!(present_pin(folder.path()).expect("read"), Some(next));
    let after = Tls::open(made(folder.path()), TODAY).expect("opens").pins;
    assert_eq!(after, [next]);
    // Changed once more, the key of the first time is still there: a phone may have heard of no other.
    prepare_next(folder.path()).expect("made");
    let (_, kept) = switch_to_next(folder.path()).expect("switched");
    assert_eq!(kept.as_deref(), Some("tls-before-2.key"));
    let before = fs::read(folder.path().join("tls-before.key"));
    assert_eq!(before.expect("kept"), first);
}

#[test]
fn the_operators_certificate_is_read_again_with_the_same_key_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = KeyPair::generate().expect("a key");
    let source = files(folder.path(), "own", &pair);
    let tls = Tls::open(source, TODAY).expect("opens");
    let before = shown(&tls);
    files(folder.path(), "own", &pair);
    tls.renew(TODAY).expect("the same key");
    let renewed = shown(&tls);
    assert_ne!(renewed, before);
    files(folder.path(), "own", &KeyPair::generate().expect("a key"));
    assert!(tls.renew(TODAY).is_err());
    assert_eq!(shown(&tls), renewed);
}

#[test]
fn a_certificate_of_another_key_and_a_file_that_is_neither_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = || KeyPair::generate().expect("a key");
    files(folder.path(), "one", &pair());
    files(folder.path(), "two", &pair());
    let mixed = Source::Files {
        certificate: folder.path().join("one.pem"),
        key: folder.path().join("two.key"),
    };
    let refused = Tls::open(mixed, TODAY).expect_err("another key");
    assert!(refused.to_string().contains("one.pem"), "{refused}");
    let rubbish = folder.path().join("rubbish");
    fs::write(&rubbish, "no PEM").expect("written");
    let refused = pin_in(&rubbish).expect_err("neither");
    assert!(refused.to_string().contains("rubbish"), "{refused}");
}
