//! The demo's ward: invented units and people, clearly marked as a sample, with passwords made anew at each start.

use crate::{
    app::{App, OpenError},
    command::failure::Failure,
    password,
    person::{self, FirstPassword, NewPerson},
    problem::Problem,
    reference, sample,
    unit::{self, Level, Link, NewUnit},
};
use jiff::civil::{Date, date};
use kieumau_core::{
    id::{PersonId, UnitId},
    person::Role,
};
use serde::Serialize;

/// What the demo prints.
#[derive(Serialize)]
pub struct Ward {
    url: String,
    people: Vec<SamplePerson>,
    units: Vec<SampleUnit>,
}

#[derive(Serialize)]
struct SamplePerson {
    name: String,
    role: Role,
    unit: UnitId,
    sign_in: String,
    password: String,
}

#[derive(Serialize)]
struct SampleUnit {
    unit: UnitId,
    name: String,
}

impl Ward {
    /// One JSON line.
    ///
    /// # Errors
    /// Never in practice: it is text and ids.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// For people.
    pub fn to_table(&self) -> String {
        let mut lines = vec![format!("Kiểu Mẫu, dữ liệu mẫu (sample data): {}", self.url)];
        for person in &self.people {
            lines.push(format!(
                "  {:<8} {:<10} {:<8} {}",
                person.name, person.role, person.sign_in, person.password
            ));
        }
        lines.join("\n")
    }
}

/// The named people of the dictionary: name, sign-in, role, and which unit (0 Trường Vinh, 1 Vinh Phú, 2 the province).
const PEOPLE: [(&str, &str, Role, usize); 7] = [
    ("An", "an", Role::Officer, 0),
    ("Hà", "ha", Role::Officer, 0),
    ("Chi", "chi", Role::Chief, 0),
    ("Bình", "binh", Role::Officer, 1),
    ("Giang", "giang", Role::Appraiser, 2),
    ("Dũng", "dung", Role::Admin, 2),
    ("Khoa", "khoa", Role::Auditor, 2),
];

/// The day the wards of Vinh were merged.
const MERGED: Date = date(2025, 7, 1);

/// Sets the sample ward up in an empty database, or gives the people of one that is set up new passwords.
///
/// # Errors
/// A sentence for a database with a real ward in it; what the database says.
pub async fn set_up(app: &App, nights: u16) -> Result<Ward, OpenError> {
    let units = unit::list(app).await.map_err(failed)?;
    if units.iter().any(|unit| !unit.sample) {
        return Err(real_ward().into());
    }
    if units.is_empty() {
        create(app, nights).await
    } else {
        again(app).await
    }
}

fn real_ward() -> Failure {
    Failure::new(
        (
            "Dữ liệu ở đây là của một phường thật.",
            "The data here is of a real ward.",
        ),
        (
            "Chạy bản thử ở một thư mục riêng: --data ./data/demo. Máy chủ thật chạy bằng `kieumau serve`.",
            "Give the demo a folder of its own: --data ./data/demo. The real server runs by `kieumau serve`.",
        ),
    )
}

async fn create(app: &App, nights: u16) -> Result<Ward, OpenError> {
    let units = units(app).await?;
    let mut ward = Ward {
        url: app.config.public_url.clone(),
        people: Vec::new(),
        units: Vec::new(),
    };
    let mut ids: Vec<PersonId> = Vec::new();
    for (name, sign_in, role, at) in PEOPLE {
        let new = NewPerson {
            name: name.to_owned(),
            sign_in: sign_in.to_owned(),
            role,
            unit: units[at],
            password: FirstPassword::Generated,
        };
        let added = person::add(app, None, new).await.map_err(failed)?;
        ids.push(added.person);
        let password = added
            .password
            .map(|password| password.to_string())
            .unwrap_or_default();
        let (name, sign_in) = (name.to_owned(), sign_in.to_owned());
        ward.people.push(SamplePerson {
            name,
            role,
            unit: units[at],
            sign_in,
            password,
        });
    }
    for unit in &units[..2] {
        reference::publish(app, *unit, sample::checkpoints())
            .await
            .map_err(failed)?;
    }
    let chief = sample::chief(ids[2], units[0], PEOPLE[2].0, "Phường Trường Vinh");
    sample::fill(app, &chief, [ids[0], ids[1]], i64::from(nights)).await?;
    ward.units = unit::list(app)
        .await
        .map_err(failed)?
        .into_iter()
        .map(|unit| SampleUnit {
            unit: unit.unit,
            name: unit.name,
        })
        .collect();
    Ok(ward)
}

/// Trường Vinh and Vinh Phú, the wards they were merged from, and the province.
async fn units(app: &App) -> Result<[UnitId; 3], OpenError> {
    let add = async |name: &str, level: Level, valid_from: Date| {
        let new = NewUnit {
            name: name.to_owned(),
            level,
            valid_from,
            sample: true,
        };
        unit::add(app, None, new).await.map_err(failed)
    };
    let truong_vinh = add("Phường Trường Vinh", Level::Ward, MERGED).await?;
    let vinh_phu = add("Phường Vinh Phú", Level::Ward, MERGED).await?;
    let province = add("Công an tỉnh Nghệ An", Level::Province, date(2000, 1, 1)).await?;
    for (old, new) in [
        ("Phường Trường Thi", truong_vinh),
        ("Phường Hà Huy Tập", vinh_phu),
    ] {
        let old = add(old, Level::Ward, date(2000, 1, 1)).await?;
        unit::link(app, None, old, new, Link::Merge, MERGED)
            .await
            .map_err(failed)?;
    }
    Ok([truong_vinh, vinh_phu, province])
}

async fn again(app: &App) -> Result<Ward, OpenError> {
    let mut ward = Ward {
        url: app.config.public_url.clone(),
        people: Vec::new(),
        units: Vec::new(),
    };
    for found in person::list(app, None).await.map_err(failed)? {
        let password = password::new_password();
        let given = FirstPassword::Given(password.clone());
        person::set_password(app, None, found.person, given)
            .await
            .map_err(failed)?;
        ward.people.push(SamplePerson {
            name: found.name,
            role: found.role,
            unit: found.unit,
            sign_in: found.sign_in,
            password: password.to_string(),
        });
    }
    ward.units = unit::list(app)
        .await
        .map_err(failed)?
        .into_iter()
        .map(|unit| SampleUnit {
            unit: unit.unit,
            name: unit.name,
        })
        .collect();
    Ok(ward)
}

fn failed(problem: Problem) -> OpenError {
    Failure::from(problem).into()
}
