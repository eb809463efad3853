//! The frame around every page: top bar, unit, who is signed in, language. It knows which pages a role sees and nothing of
//! what is on them.

use super::{assets, language::Language, reader::Reader, words::Words};
use kieumau_core::person::Role;

/// A place in the top bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Nowhere in the bar.
    None,
    /// Ca tuần tra.
    Patrols,
    /// Tiêu chí, minh chứng.
    Evidence,
    /// Thiết bị.
    Phones,
    /// Nhật ký truy cập.
    Audit,
}

/// What `shell.html` draws.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Every sentence.
    pub w: &'static Words,
    /// In which language.
    pub language: Language,
    /// Where the embedded files lie.
    pub assets: &'static str,
    /// The page's title.
    pub title: String,
    /// Path and query, to come back to after a switch of language.
    pub here: String,
    /// Who is signed in, if anybody.
    pub who: Option<Who>,
}

/// Who is signed in, as the bar says it.
#[derive(Clone, Debug)]
pub struct Who {
    /// Name.
    pub name: String,
    /// Role in words.
    pub role: &'static str,
    /// Unit.
    pub unit: String,
    /// Whether the unit was invented for a demo.
    pub sample: bool,
    /// The pages of this role.
    pub links: Vec<Link>,
}

/// A page in the bar.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its path.
    pub path: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whether it is this page or the list this page came from.
    pub here: bool,
}

impl Section {
    const ALL: [Self; 4] = [Self::Patrols, Self::Evidence, Self::Phones, Self::Audit];

    /// Whether `role` has anything to read there. For all others the page is not there: 404.
    pub const fn open_to(self, role: Role) -> bool {
        match self {
            Self::None => true,
            Self::Patrols | Self::Evidence => matches!(role, Role::Officer | Role::Chief),
            Self::Phones => role.manages_phones(),
            Self::Audit => role.reads_audit(),
        }
    }

    /// Where it begins.
    pub const fn path(self) -> &'static str {
        match self {
            Self::None => "/",
            Self::Patrols => "/patrols",
            Self::Evidence => "/evidence",
            Self::Phones => "/phones",
            Self::Audit => "/audit",
        }
    }

    const fn name(self, w: &Words) -> &'static str {
        match self {
            Self::None => w.product,
            Self::Patrols => w.patrols,
            Self::Evidence => w.evidence,
            Self::Phones => w.phones,
            Self::Audit => w.audit,
        }
    }

    /// The first page that `role` has.
    pub fn first_of(role: Role) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.open_to(role))
    }
}

impl Shell {
    /// The frame for a page that anybody may see.
    pub fn bare(language: Language, title: &str, here: &str) -> Self {
        Self {
            w: language.words(),
            language,
            assets: &assets::BASE,
            title: title.to_owned(),
            here: here.to_owned(),
            who: None,
        }
    }

    /// The frame for a page in `section`.
    pub fn of(reader: &Reader, section: Section, title: &str) -> Self {
        let w = reader.language.words();
        let role = reader.who.role;
        let links = Section::ALL
            .into_iter()
            .filter(|link| link.open_to(role))
            .map(|link| Link {
                path: link.path(),
                name: link.name(w),
                here: link == section,
            })
            .collect();
        let who = Who {
            name: reader.who.name.clone(),
            role: w.role(role),
            unit: reader.who.unit_name.clone(),
            sample: reader.sample,
            links,
        };
        Self {
            who: Some(who),
            ..Self::bare(reader.language, title, &reader.here)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_no_content_has_no_content_in_the_bar() {
        for role in [Role::Appraiser, Role::Admin, Role::Auditor] {
            assert!(
                !Section::Patrols.open_to(role) && !Section::Evidence.open_to(role),
                "{role}"
            );
        }
        assert_eq!(Section::first_of(Role::Admin), Some(Section::Phones));
        assert_eq!(Section::first_of(Role::Auditor), Some(Section::Audit));
        assert_eq!(Section::first_of(Role::Appraiser), None);
    }
}
