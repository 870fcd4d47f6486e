//! Names of kinds, roles and the like: what the protocol calls so, and what people read.

use tearline_crdt::record::vocabulary::{Purpose, Vocabulary as _};

use super::super::language::Language;
use super::Words;
use crate::operators::{Right, Role};

/// What is called how: English, French, Arabic.
type Term = (&'static str, [&'static str; 3]);

const KINDS: [Term; 29] = [
    ("object", ["Object", "Objet", "كائن"]),
    ("person", ["Person", "Personne", "شخص"]),
    ("organisation", ["Organisation", "Organisation", "منظمة"]),
    ("vehicle", ["Vehicle", "Véhicule", "مركبة"]),
    ("vessel", ["Vessel", "Navire", "سفينة"]),
    ("aircraft", ["Aircraft", "Aéronef", "طائرة"]),
    ("container", ["Container", "Conteneur", "حاوية"]),
    ("travel-document", ["Travel document", "Document de voyage", "وثيقة سفر"]),
    ("phone", ["Phone", "Téléphone", "هاتف"]),
    ("weapon", ["Weapon", "Arme", "سلاح"]),
    ("commodity", ["Commodity", "Marchandise", "بضاعة"]),
    ("location", ["Location", "Lieu", "مكان"]),
    ("route", ["Route", "Itinéraire", "مسار"]),
    ("sighting", ["Sighting", "Observation", "مشاهدة"]),
    ("crossing", ["Crossing", "Franchissement", "عبور"]),
    ("incident", ["Incident", "Incident", "حادث"]),
    ("seizure", ["Seizure", "Saisie", "مصادرة"]),
    ("alert", ["Alert", "Alerte", "إنذار"]),
    ("report", ["Report", "Rapport", "تقرير"]),
    ("note", ["Note", "Note", "ملاحظة"]),
    ("opinion", ["Opinion", "Avis", "رأي"]),
    ("relationship", ["Relationship", "Relation", "علاقة"]),
    ("case", ["Case", "Dossier", "قضية"]),
    ("request", ["Request", "Demande", "طلب"]),
    ("task", ["Task", "Tâche", "مهمة"]),
    ("assessment", ["Assessment", "Évaluation", "تقييم"]),
    ("hit", ["Hit", "Correspondance", "تطابق"]),
    ("message", ["Message", "Message", "رسالة"]),
    ("unit", ["Unit", "Unité", "وحدة"]),
];

const CLASSES: [Term; 5] = [
    ("authority", ["Authority", "Autorité", "سلطة"]),
    ("flash", ["Flash", "Éclair", "برقي"]),
    ("immediate", ["Immediate", "Immédiat", "فوري"]),
    ("priority", ["Priority", "Prioritaire", "أولوية"]),
    ("routine", ["Routine", "Routine", "اعتيادي"]),
];

const FLAGS: [Term; 6] = [
    ("conflict", ["concurrent values", "valeurs concurrentes", "قيم متزامنة"]),
    ("held-back", ["held back", "retenu", "محجوز"]),
    (
        "recalled",
        ["recalled: do not rely on it", "rappelé : ne pas s’y fier", "مسحوب: لا يُعتمد عليه"],
    ),
    ("restricted", ["restricted", "restreint", "مقيّد"]),
    ("erasure-due", ["erased", "effacé", "مُحي"]),
    ("held", ["held: not to be destroyed", "gelé : à ne pas détruire", "محفوظ: لا يُتلف"]),
];

const STEPS: [Term; 6] = [
    ("genesis", ["written", "écrit", "كُتب"]),
    ("change", ["changed", "modifié", "تغيّر"]),
    ("brought", ["imported", "importé", "مستورد"]),
    ("rebase", ["summed up", "consolidé", "مُجمَّع"]),
    ("reauthor", ["written anew", "réécrit", "أُعيدت كتابته"]),
    ("label", ["labelled", "étiqueté", "وُسم"]),
];

const EVENTS: [Term; 8] = [
    ("login", ["login", "connexion", "دخول"]),
    ("collection", ["collection", "collecte", "جمع"]),
    ("change", ["change", "modification", "تعديل"]),
    ("consultation", ["consultation", "consultation", "اطلاع"]),
    ("disclosure", ["disclosure", "communication", "إفصاح"]),
    ("combination", ["combination", "interconnexion", "ربط"]),
    ("erasure", ["erasure", "effacement", "محو"]),
    ("administration", ["administration", "administration", "إدارة"]),
];

const PURPOSES: [Term; 24] = [
    ("BorderMonitoring", ["Border monitoring", "Surveillance des frontières", "مراقبة الحدود"]),
    ("BorderOperation", ["Border operation", "Opération aux frontières", "عملية حدودية"]),
    ("CustomsMonitoring", ["Customs monitoring", "Surveillance douanière", "مراقبة جمركية"]),
    ("CustomsOperation", ["Customs operation", "Opération douanière", "عملية جمركية"]),
    (
        "LawEnforcementMonitoring",
        ["Law enforcement monitoring", "Surveillance policière", "مراقبة إنفاذ القانون"],
    ),
    (
        "LawEnforcementOperation",
        ["Law enforcement operation", "Opération policière", "عملية إنفاذ القانون"],
    ),
    ("CounterTerrorism", ["Counter-terrorism", "Antiterrorisme", "مكافحة الإرهاب"]),
    ("Security", ["Security", "Sécurité", "الأمن"]),
    ("Safety", ["Safety", "Sûreté des personnes", "السلامة"]),
    ("SAR", ["Search and rescue", "Recherche et sauvetage", "البحث والإنقاذ"]),
    ("FisheriesMonitoring", ["Fisheries monitoring", "Surveillance des pêches", "مراقبة المصايد"]),
    ("FisheriesWarning", ["Fisheries warning", "Alerte pêche", "إنذار المصايد"]),
    ("FisheriesOperation", ["Fisheries operation", "Opération pêche", "عملية المصايد"]),
    (
        "EnvironmentMonitoring",
        ["Environment monitoring", "Surveillance de l’environnement", "مراقبة البيئة"],
    ),
    ("EnvironmentWarning", ["Environment warning", "Alerte environnementale", "إنذار بيئي"]),
    (
        "EnvironmentResponse",
        ["Environment response", "Intervention environnementale", "استجابة بيئية"],
    ),
    ("DefenceMonitoring", ["Defence monitoring", "Surveillance de défense", "مراقبة دفاعية"]),
    ("VTM", ["Vessel traffic management", "Gestion du trafic maritime", "إدارة حركة السفن"]),
    ("Operation", ["Operation", "Opération", "عملية"]),
    ("NonSpecified", ["Not specified", "Non précisée", "غير محدد"]),
    ("Immigration", ["Immigration", "Immigration", "الهجرة"]),
    ("CSDPTask", ["CSDP task", "Mission PSDC", "مهمة السياسة الأمنية والدفاعية المشتركة"]),
    ("AsylumSafeguard", ["Asylum safeguard", "Protection de l’asile", "حماية طالبي اللجوء"]),
    ("Training", ["Training", "Formation", "التدريب"]),
];

/// What is said of records.
const SAID: [Term; 3] = [
    ("erase", ["Erase", "Effacer", "محو"]),
    ("restrict", ["Restrict", "Restreindre", "تقييد"]),
    ("recall", ["Recall", "Rappeler", "سحب"]),
];

/// Codes of the address after something was done.
const NOTICES: [Term; 25] = [
    ("draft", ["The draft is kept.", "Le brouillon est gardé.", "حُفظت المسودة."]),
    ("discarded", ["The draft is gone.", "Le brouillon est abandonné.", "حُذفت المسودة."]),
    ("adopted", ["It counts now.", "Il compte désormais.", "أصبح معتبرًا."]),
    ("attached", ["The file was attached.", "Le fichier est joint.", "أُرفق الملف."]),
    ("fetched", ["The file is here.", "Le fichier est là.", "الملف هنا."]),
    ("fetching", ["Peers were asked for it.", "Les pairs ont été sollicités.", "طُلب من الأقران."]),
    ("released", ["Released.", "Communiquée.", "تم الإصدار."]),
    (
        "prepared",
        [
            "Handed over: another operator signs it.",
            "Remise : un autre opérateur la signera.",
            "أُحيل: سيوقّعه مشغّل آخر.",
        ],
    ),
    (
        "refused",
        [
            "Put away; nothing was released.",
            "Écartée ; rien n’est parti.",
            "صُرف النظر ولم يُصدر شيء.",
        ],
    ),
    ("purpose", ["The purpose is set.", "La finalité est fixée.", "تم تعيين الغرض."]),
    ("acknowledged", ["Acknowledged.", "Réception accusée.", "تم الإقرار."]),
    ("reopened", ["Open again.", "Rouvert.", "أُعيد فتحه."]),
    ("assigned", ["Assigned.", "Attribué.", "تم الإسناد."]),
    ("snoozed", ["Put off.", "Reporté.", "تم التأجيل."]),
    (
        "shift",
        [
            "Your shift has ended: what comes now is new.",
            "Quart terminé : ce qui arrive désormais est nouveau.",
            "انتهت مناوبتك: ما يصل الآن جديد.",
        ],
    ),
    ("changed", ["Changed and signed.", "Modifié et signé.", "تم التغيير والتوقيع."]),
    ("unchanged", ["Nothing was changed.", "Rien n’a été modifié.", "لم يتغير شيء."]),
    ("resolved", ["Resolved.", "Résolu.", "تم الحسم."]),
    ("noted", ["The note was written.", "La note est écrite.", "كُتبت الملاحظة."]),
    ("said", ["Signed, and on its way.", "Signé, en cours d’envoi.", "تم التوقيع وهو في الطريق."]),
    ("written", ["The report was written.", "Le rapport est écrit.", "كُتب التقرير."]),
    (
        "doubtful",
        [
            "Written. A number in it is probably misread: look at it again.",
            "Écrit. Un numéro est sans doute mal lu : vérifiez-le.",
            "كُتب. يبدو أن رقمًا فيه قُرئ خطأ: راجعه.",
        ],
    ),
    ("approved", ["Signed.", "Signé.", "تم التوقيع."]),
    ("operator", ["The operator was changed.", "L’opérateur est modifié.", "تم تغيير المشغّل."]),
    ("settings", ["Saved.", "Enregistré.", "تم الحفظ."]),
];

impl Words {
    fn find(&self, terms: &[Term], name: &str) -> Option<&'static str> {
        let [english, french, arabic] = terms.iter().find(|(known, _)| *known == name)?.1;
        Some(match self.language {
            Language::English => english,
            Language::French => french,
            Language::Arabic => arabic,
        })
    }

    /// A kind of record; of an object of a type that is no kind, that type.
    pub(in super::super) fn kind<'a>(&self, name: &'a str) -> &'a str {
        self.find(&KINDS, name).unwrap_or(name)
    }

    pub(in super::super) fn class(&self, name: &str) -> &'static str {
        self.find(&CLASSES, name).unwrap_or("?")
    }

    pub(in super::super) fn flag(&self, name: &str) -> &'static str {
        self.find(&FLAGS, name).unwrap_or("?")
    }

    /// What is asked of a record.
    pub(in super::super) fn said(&self, name: &str) -> &'static str {
        self.find(&SAID, name).unwrap_or("?")
    }

    /// What a device answered to that.
    pub(in super::super) fn outcome(&self, name: &str) -> &'static str {
        match name {
            "destroyed" => self.outcome_destroyed,
            "hidden" => self.outcome_hidden,
            "marked" => self.outcome_marked,
            "refused" => self.outcome_refused,
            "nothing-here" => self.outcome_nothing,
            _ => "?",
        }
    }

    /// What an entry of a record does.
    pub(in super::super) fn step(&self, name: &str) -> &'static str {
        self.find(&STEPS, name).unwrap_or("?")
    }

    pub(in super::super) fn event(&self, name: &str) -> &'static str {
        self.find(&EVENTS, name).unwrap_or("?")
    }

    pub(in super::super) fn purpose_of(&self, purpose: Purpose) -> &'static str {
        self.find(&PURPOSES, purpose.word()).unwrap_or_else(|| purpose.word())
    }

    /// What is said after something was done; empty for a code that is none.
    pub(in super::super) fn notice(&self, code: &str) -> &'static str {
        self.find(&NOTICES, code).unwrap_or_default()
    }

    pub(in super::super) const fn role(&self, role: Role) -> &'static str {
        let [english, french, arabic] = match role {
            Role::Viewer => ["Viewer", "Lecteur", "قارئ"],
            Role::Analyst => ["Analyst", "Analyste", "محلل"],
            Role::WatchOfficer => ["Watch officer", "Officier de quart", "ضابط المناوبة"],
            Role::Field => ["Field", "Terrain", "ميداني"],
            Role::Approver => ["Approver", "Signataire", "معتمِد"],
            Role::Auditor => ["Auditor", "Auditeur", "مدقق"],
            Role::DataProtectionOfficer => [
                "Data-protection officer",
                "Délégué à la protection des données",
                "مسؤول حماية البيانات",
            ],
            Role::Admin => ["Administrator", "Administrateur", "مدير"],
        };
        match self.language {
            Language::English => english,
            Language::French => french,
            Language::Arabic => arabic,
        }
    }

    pub(in super::super) const fn right(&self, right: Right) -> &'static str {
        let [english, french, arabic] = match right {
            Right::Consult => ["Read records", "Lire les fiches", "قراءة السجلات"],
            Right::Mark => ["Mark the board", "Marquer le tableau", "وسم اللوحة"],
            Right::Report => ["Report", "Rapporter", "كتابة التقارير"],
            Right::Change => ["Change records", "Modifier les fiches", "تعديل السجلات"],
            Right::Withhold => ["Recall and erase", "Rappeler et effacer", "السحب والمحو"],
            Right::Release => ["Release records", "Communiquer des fiches", "إصدار السجلات"],
            Right::Countersign => [
                "Sign others’ releases",
                "Contresigner les communications",
                "المصادقة على إصدار الآخرين",
            ],
            Right::Trust => {
                ["End devices, adopt", "Révoquer des appareils, adopter", "إنهاء الأجهزة والاعتماد"]
            }
            Right::Carry => ["Carry bundles", "Transporter des lots", "نقل الحزم"],
            Right::Mesh => ["See the mesh", "Voir le réseau", "رؤية الشبكة"],
            Right::Sharing => ["See sharing", "Voir le partage", "رؤية المشاركة"],
            Right::Approve => {
                ["Sign for the agency", "Signer pour le service", "التوقيع باسم الجهاز"]
            }
            Right::Audit => ["Audit", "Auditer", "التدقيق"],
            Right::Administer => ["Administer operators", "Gérer les opérateurs", "إدارة المشغّلين"],
        };
        match self.language {
            Language::English => english,
            Language::French => french,
            Language::Arabic => arabic,
        }
    }
}

#[cfg(test)]
mod tests {
    use tearline_crdt::id::Class;
    use tearline_crdt::record::kind::Kind;

    use super::*;
    use crate::audit::Event;

    #[test]
    fn what_the_protocol_knows_has_a_name() {
        for language in Language::ALL {
            let words = language.words();
            for kind in Kind::ALL {
                assert!(words.find(&KINDS, kind.name()).is_some(), "{kind}");
            }
            for class in Class::ALL {
                assert!(words.find(&CLASSES, class.name()).is_some(), "{}", class.name());
            }
            for event in Event::ALL {
                assert!(words.find(&EVENTS, event.name()).is_some(), "{event:?}");
            }
        }
        assert_eq!(Language::French.words().kind("grouping"), "grouping");
        assert_eq!(Language::French.words().notice("<script>"), "");
        let known =
            |purpose: &&Purpose| Language::French.words().find(&PURPOSES, purpose.word()).is_none();
        let unknown: Vec<_> = Purpose::ALL.iter().filter(known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
