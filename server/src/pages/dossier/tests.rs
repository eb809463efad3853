//! Who gets a dossier from a page, on each database: a file that is believed elsewhere, or what the page itself says.

use super::super::router;
use crate::{
    clock,
    export::{
        self,
        setting::{Setting, settings},
    },
    fixture::{Reply, audited, cookie, send},
    session::SignedIn,
};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use kieumau_core::{
    document::Key,
    dossier::{self, Proven},
    id::DocumentId,
    period::{Period, day_of},
};

/// A patrol of An's and an evidence file, whole in the log and on their pages.
struct Records {
    setting: Setting,
    patrol: Key,
    evidence: Key,
    period: Period,
}

async fn records() -> Vec<Records> {
    let mut all = Vec::new();
    for setting in settings().await {
        let period = Period::of_programme(day_of(clock::now_ms()));
        let patrol = setting.patrol().await;
        setting.review(&patrol).await;
        let evidence = setting.evidence(setting.people.truong_vinh, &period).await;
        let records = Records {
            setting,
            patrol,
            evidence,
            period,
        };
        records.project().await;
        all.push(records);
    }
    all
}

impl Records {
    /// What a worker would have written of both.
    async fn project(&self) {
        let (unit, an) = (
            self.setting.people.truong_vinh.to_string(),
            self.setting.people.an.person.to_string(),
        );
        let (patrol, evidence) = (
            self.patrol.document().to_string(),
            self.evidence.document().to_string(),
        );
        self.put(
            "insert into patrol (document_id, unit_id, title, started_at_ms, started_by, leader, length_m, fix_count, \
                                 accuracy_unknown, observation_count, attachment_count, visit_count) \
             values ($1, $2, 'Tuần tra đêm', cast($4 as bigint), $3, $3, 0, 0, 0, 0, 0, 0)",
            &[&patrol, &unit, &an, &clock::now_ms().to_string()],
        )
        .await;
        self.put(
            "insert into patrol_member (document_id, person_id, since_ms) values ($1, $2, 1)",
            &[&patrol, &an],
        )
        .await;
        self.put(
            "insert into evidence (document_id, evidence_id, unit_id, criterion, period, evidence_kind, summary, \
                                   recorded_at_ms, recorded_by) values ($1, $1, $2, 20, $4, 'plan', 'Kế hoạch', 1, $3)",
            &[&evidence, &unit, &an, &self.period.to_string()],
        )
        .await;
        self.put("update change set state = 'checked'", &[]).await;
    }

    async fn put(&self, sql: &'static str, values: &[&str]) {
        let mut tx = self.setting.app.database.begin().await.expect("begins");
        let mut query = sqlx::query(sql);
        for value in values {
            query = query.bind((*value).to_owned());
        }
        query.execute(&mut *tx).await.expect("written");
        tx.commit().await.expect("committed");
    }

    fn of_patrol(&self) -> String {
        format!("/patrols/{}/dossier", self.patrol.document())
    }

    fn of_evidence(&self) -> String {
        format!("/evidence/{}/dossier", self.evidence.document())
    }

    fn of_unit(&self) -> String {
        let (unit, period) = (self.setting.people.truong_vinh, &self.period);
        format!("/units/{unit}/dossier?period={period}")
    }

    async fn asked(&self, who: Option<&SignedIn>, path: &str) -> Reply {
        let mut request = Request::get(path)
            .header(header::HOST, "127.0.0.1")
            .header(header::ACCEPT, "text/html");
        if let Some(who) = who {
            request = request.header(header::COOKIE, cookie(&self.setting.app, who).await);
        }
        let request = request.body(Body::empty()).expect("a request");
        send(&self.setting.app, router(), request).await
    }

    /// The dossier at `path`, which `who` gets and anybody believes.
    async fn believed(&self, who: &SignedIn, path: &str) -> Proven {
        let reply = self.asked(Some(who), path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path} {}", who.name);
        let length = reply.body.len().to_string();
        assert_eq!(reply.headers[header::CONTENT_LENGTH], length.as_str());
        assert_eq!(reply.headers[header::CACHE_CONTROL], "private, no-store");
        let name = reply.headers[header::CONTENT_DISPOSITION].to_str();
        let name = name.expect("text");
        assert!(name.starts_with("attachment; filename=\"ho-so-"), "{name}");
        assert!(name.ends_with(".kieumau\""), "{name}");
        let file = self.setting.path();
        std::fs::write(&file, &reply.body).expect("saved");
        let key = Some(self.setting.fingerprint());
        export::verify(&file, key).expect("as `kieumau verify` says");
        dossier::verify(&reply.body[..], key).expect("it holds")
    }

    async fn refused(&self, who: &SignedIn, path: &str, status: StatusCode) {
        let reply = self.asked(Some(who), path).await;
        assert_eq!(reply.status, status, "{path} {}", who.name);
        let kind = &reply.headers[header::CONTENT_TYPE];
        assert_eq!(kind, "text/html; charset=utf-8", "a page says so");
    }
}

fn ids(proven: &Proven) -> Vec<DocumentId> {
    proven.documents.iter().map(|one| one.document).collect()
}

#[tokio::test]
async fn who_reads_a_record_gets_its_dossier_and_the_audit_says_so() {
    for records in records().await {
        let people = &records.setting.people;
        let (patrol, evidence) = (records.patrol.document(), records.evidence.document());
        for who in [&people.chi, &people.an] {
            let proven = records.believed(who, &records.of_patrol()).await;
            assert!(
                ids(&proven).contains(&patrol),
                "with the decisions about it"
            );
            assert_eq!((proven.documents.len(), proven.attachments.len()), (2, 1));
        }
        let proven = records.believed(&people.ha, &records.of_evidence()).await;
        assert_eq!(ids(&proven), [evidence]);
        let deeds = audited(&records.setting.app, "exported").await;
        let said: Vec<_> = deeds
            .iter()
            .map(|deed| (deed.person.clone(), deed.subject.clone()))
            .collect();
        let by = |who: &SignedIn, what: DocumentId| {
            (Some(who.person.to_string()), Some(what.to_string()))
        };
        assert_eq!(
            said,
            [
                by(&people.chi, patrol),
                by(&people.an, patrol),
                by(&people.ha, evidence)
            ]
        );
        let unit = Some(people.truong_vinh.to_string());
        assert!(deeds.iter().all(|deed| deed.unit == unit));
    }
}

#[tokio::test]
async fn who_asks_for_a_dossiers_head_alone_gets_none_and_no_deed_is_written() {
    for records in records().await {
        let chi = &records.setting.people.chi;
        let head = Request::head(records.of_patrol())
            .header(header::HOST, "127.0.0.1")
            .header(header::COOKIE, cookie(&records.setting.app, chi).await);
        let head = head.body(Body::empty()).expect("a request");
        let reply = send(&records.setting.app, router(), head).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(audited(&records.setting.app, "exported").await.len(), 0);
        // The twin: whoever has it stands there.
        records.believed(chi, &records.of_patrol()).await;
        assert_eq!(audited(&records.setting.app, "exported").await.len(), 1);
    }
}

#[tokio::test]
async fn who_may_not_read_a_record_gets_what_its_page_gives() {
    for records in records().await {
        let people = &records.setting.people;
        let (patrol, evidence) = (records.of_patrol(), records.of_evidence());
        for who in [&people.binh, &people.giang, &people.dung, &people.khoa] {
            for path in [&patrol, &evidence, &records.of_unit()] {
                records.refused(who, path, StatusCode::NOT_FOUND).await;
            }
        }
        // Not on the team.
        records
            .refused(&people.ha, &patrol, StatusCode::NOT_FOUND)
            .await;
        // Each kind at its own address only.
        let crossed = format!("/evidence/{}/dossier", records.patrol.document());
        records
            .refused(&people.chi, &crossed, StatusCode::NOT_FOUND)
            .await;
        for path in [&patrol, &evidence, &records.of_unit()] {
            let reply = records.asked(None, path).await;
            assert_eq!(reply.status, StatusCode::SEE_OTHER);
            let to = reply.headers[header::LOCATION].to_str().expect("text");
            assert!(to.starts_with("/sign-in?next="), "{to}");
        }
        assert!(audited(&records.setting.app, "exported").await.is_empty());
    }
}

#[tokio::test]
async fn what_is_for_the_chief_alone_leaves_the_house_with_no_officer() {
    for records in records().await {
        let (chi, an) = (&records.setting.people.chi, &records.setting.people.an);
        let patrol = format!("/patrols/{}", records.patrol.document());
        let path = records.of_patrol();
        for (kept_back, again) in [
            (
                "update attachment_use set withdrawn_at_ms = 1",
                "update attachment_use set withdrawn_at_ms = null",
            ),
            (
                "update change set state = 'withheld' where number = (select max(number) from change c where c.document_id = change.document_id)",
                "update change set state = 'checked'",
            ),
        ] {
            records.put(kept_back, &[]).await;
            records.refused(an, &path, StatusCode::FORBIDDEN).await;
            let page = records.asked(Some(an), &patrol).await;
            let page = String::from_utf8(page.body).expect("text");
            assert!(!page.contains(&path) && page.contains("chỉ chỉ huy"));
            records.believed(chi, &path).await;
            // The twin: with nothing kept back it is theirs.
            records.put(again, &[]).await;
            records.believed(an, &path).await;
            let page = records.asked(Some(an), &patrol).await;
            let page = String::from_utf8(page.body).expect("text");
            let key = records.setting.fingerprint().to_string();
            assert!(page.contains(&path) && page.contains(&key));
        }
    }
}

#[tokio::test]
async fn a_chief_takes_a_units_period_whole_and_nobody_else_does() {
    for records in records().await {
        let (chi, an) = (&records.setting.people.chi, &records.setting.people.an);
        let path = records.of_unit();
        let proven = records.believed(chi, &path).await;
        let here = ids(&proven);
        assert_eq!(here.len(), 3);
        assert!(here.contains(&records.patrol.document()));
        assert!(here.contains(&records.evidence.document()));
        records.refused(an, &path, StatusCode::FORBIDDEN).await;
        for (who, offered) in [(chi, true), (an, false)] {
            let page = records.asked(Some(who), "/evidence").await;
            let page = String::from_utf8(page.body).expect("text");
            assert_eq!(page.contains(&path), offered, "{}", who.name);
        }
        let unit = path.split('?').next().expect("a path");
        for (period, status) in [
            ("2010-11-16..2011-11-15", StatusCode::NOT_FOUND),
            ("soon", StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            let path = format!("{unit}?period={period}");
            records.refused(chi, &path, status).await;
        }
    }
}

#[tokio::test]
async fn a_successors_chief_takes_what_the_predecessor_wrote() {
    for records in records().await {
        let phuc = records.setting.people.merge(&records.setting.app).await;
        records.believed(&phuc, &records.of_patrol()).await;
        records.believed(&phuc, &records.of_unit()).await;
        // In the audit that this chief reads.
        let deeds = audited(&records.setting.app, "exported").await;
        let unit = Some(phuc.unit.to_string());
        assert!(deeds.iter().all(|deed| deed.unit == unit));
    }
}

#[tokio::test]
async fn who_finds_no_room_is_told_to_come_back() {
    for records in records().await {
        let (app, chi) = (&records.setting.app, &records.setting.people.chi);
        let mut places = Vec::new();
        while !app.dossiers.is_full() {
            places.push(app.dossiers.enter().await.expect("room"));
        }
        let path = records.of_patrol();
        records
            .refused(chi, &path, StatusCode::SERVICE_UNAVAILABLE)
            .await;
        assert!(audited(app, "exported").await.is_empty());
        // The twin: with a place free again it is there, and each leaves its place behind.
        places.pop();
        for _ in 0..3 {
            records.believed(chi, &path).await;
        }
        drop(places);
        assert!(!app.dossiers.is_full());
    }
}
