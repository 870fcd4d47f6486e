//! What the portal says, in every language it speaks. A sentence is a field: one that lacks a language does not
//! compile. Words of the schema (properties, vocabularies) stay as STIX and its extensions have them.

mod forms;
mod terms;

use self::forms::{Forms, forms};
use super::language::Language;

macro_rules! words {
    ($($key:ident: $en:literal, $fr:literal, $ar:literal;)*) => {
        /// The sentences of a language.
        #[derive(Debug)]
        pub(super) struct Words {
            language: Language,
            $(pub(super) $key: &'static str,)*
            pub(super) seconds: Forms,
            pub(super) minutes: Forms,
            pub(super) hours: Forms,
            pub(super) days: Forms,
            pub(super) open_items: Forms,
            pub(super) closed_items: Forms,
            pub(super) shown_items: Forms,
        }

        pub(super) static ENGLISH: Words = Words {
            language: Language::English,
            $($key: $en,)*
            seconds: forms("# second", "# seconds"),
            minutes: forms("# minute", "# minutes"),
            hours: forms("# hour", "# hours"),
            days: forms("# day", "# days"),
            open_items: forms("# open", "# open"),
            closed_items: forms("# done or put off", "# done or put off"),
            shown_items: forms("# record shown.", "# records shown."),
        };

        pub(super) static FRENCH: Words = Words {
            language: Language::French,
            $($key: $fr,)*
            seconds: forms("# seconde", "# secondes"),
            minutes: forms("# minute", "# minutes"),
            hours: forms("# heure", "# heures"),
            days: forms("# jour", "# jours"),
            open_items: forms("# en attente", "# en attente"),
            closed_items: forms("# traité ou reporté", "# traités ou reportés"),
            shown_items: forms("# fiche affichée.", "# fiches affichées."),
        };

        pub(super) static ARABIC: Words = Words {
            language: Language::Arabic,
            $($key: $ar,)*
            seconds: Forms {
                one: "ثانية واحدة",
                other: "# ثانية",
                more: ["أقل من ثانية", "ثانيتان", "# ثوانٍ", "# ثانية"],
            },
            minutes: Forms {
                one: "دقيقة واحدة",
                other: "# دقيقة",
                more: ["أقل من دقيقة", "دقيقتان", "# دقائق", "# دقيقة"],
            },
            hours: Forms {
                one: "ساعة واحدة",
                other: "# ساعة",
                more: ["أقل من ساعة", "ساعتان", "# ساعات", "# ساعة"],
            },
            days: Forms {
                one: "يوم واحد",
                other: "# يوم",
                more: ["أقل من يوم", "يومان", "# أيام", "# يومًا"],
            },
            open_items: Forms {
                one: "بند واحد معلّق",
                other: "# بند معلّق",
                more: ["لا بنود معلّقة", "بندان معلّقان", "# بنود معلّقة", "# بندًا معلّقًا"],
            },
            closed_items: Forms {
                one: "بند واحد منجز أو مؤجل",
                other: "# بند منجز أو مؤجل",
                more: [
                    "لا بنود منجزة",
                    "بندان منجزان أو مؤجلان",
                    "# بنود منجزة أو مؤجلة",
                    "# بندًا منجزًا أو مؤجلًا",
                ],
            },
            shown_items: Forms {
                one: "سجل واحد معروض.",
                other: "# سجل معروض.",
                more: ["لا سجلات.", "سجلان معروضان.", "# سجلات معروضة.", "# سجلًا معروضًا."],
            },
        };

        #[cfg(test)]
        impl Words {
            fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($key), self.$key),)*]
            }
        }
    };
}

words! {
    about: "About", "À propos", "حول البرنامج";
    about_text:
        "Tearline is a peer-to-peer mesh for border-threat records. This portal runs on this machine alone, loads nothing from elsewhere, and works without its one script. Base map: Natural Earth, public domain.",
        "Tearline est un réseau pair à pair pour les signalements aux frontières. Ce portail tourne sur cette seule machine, ne charge rien d’ailleurs et fonctionne sans son unique script. Fond de carte : Natural Earth, domaine public.",
        "تيرلاين شبكة من الأقران لسجلات تهديدات الحدود. تعمل هذه البوابة على هذا الجهاز وحده، ولا تحمّل شيئًا من مكان آخر، وتعمل دون برنامجها النصي الوحيد. خريطة الأساس: Natural Earth، ملك عام.";
    acknowledge: "Acknowledge", "Accuser réception", "إقرار بالاستلام";
    acknowledged_by: "Acknowledged by", "Reçu par", "أقرّ بالاستلام";
    act: "Act", "Acte", "الإجراء";
    active: "active", "actif", "نشط";
    add: "Add", "Ajouter", "إضافة";
    add_note: "Add a note", "Ajouter une note", "إضافة ملاحظة";
    add_operator: "Add an operator", "Ajouter un opérateur", "إضافة مشغّل";
    adopt: "Adopt: let it count", "Adopter : le faire compter", "اعتماد: جعله معتبرًا";
    adopt_not_ours:
        "This peer cannot let it count: another agency’s desk or the founders can.",
        "Ce pair ne peut pas le faire compter : un autre service ou les fondateurs le peuvent.",
        "لا يمكن لهذا القرين اعتماده: يمكن ذلك لجهاز آخر أو للمؤسسين.";
    adopt_propose:
        "The founders can let it count; propose it at the console:",
        "Les fondateurs peuvent le faire compter ; proposez-le à la console :",
        "يمكن للمؤسسين اعتماده؛ اقترحه من سطر الأوامر:";
    adopt_text:
        "It then counts on every peer, with all that stands before it in its log.",
        "Il comptera alors chez tous les pairs, avec tout ce qui le précède dans son journal.",
        "يصبح معتبرًا لدى كل الأقران مع كل ما يسبقه في سجله.";
    again: "Passphrase again", "Phrase secrète, encore une fois", "عبارة المرور مرة أخرى";
    agency: "Agency", "Service", "الجهاز";
    ago: "# ago", "il y a #", "قبل #";
    all_obeyed: "all have obeyed", "tous ont obéi", "نفّذ الجميع";
    any: "any", "tous", "الكل";
    as_is: "as it is", "tel quel", "كما هو";
    as_it_is: "As it is", "Tel quel", "كما هو";
    as_released: "As released", "Tel que communiqué", "كما يُصدر";
    assign: "Assign", "Attribuer", "إسناد";
    assign_to: "Assign to", "Attribuer à", "إسناد إلى";
    assigned_to: "Assigned to", "Attribué à", "مُسند إلى";
    at_most: "At most", "Au plus", "على الأكثر";
    attach: "Attach a picture", "Joindre une image", "إرفاق صورة";
    attach_help:
        "JPEG or PNG, at most 8 MiB. What it tells of its making is taken out.",
        "JPEG ou PNG, 8 Mio au plus. Ses métadonnées sont retirées.",
        "JPEG أو PNG بحد أقصى 8 MiB. تُزال بياناتها الوصفية.";
    audience: "Audience", "Destinataires", "الجهات المخوّلة";
    audit: "Audit log", "Journal d’audit", "سجل التدقيق";
    bad_request: "This makes no sense", "Demande incompréhensible", "طلب غير مفهوم";
    bad_request_text:
        "Something in what was sent is missing or cannot be read. Nothing was changed.",
        "Il manque quelque chose dans la demande, ou elle est illisible. Rien n’a été modifié.",
        "في الطلب شيء ناقص أو غير مقروء. لم يتغير شيء.";
    basis: "Legal basis", "Base légale", "الأساس القانوني";
    basis_help: "Needed to erase.", "Nécessaire pour effacer.", "مطلوب للمحو.";
    beside_others:
        "It builds on quarantined entries of other logs: it counts only with them.",
        "Il s’appuie sur des entrées en quarantaine d’autres journaux : il ne compte qu’avec elles.",
        "يعتمد على قيود محجورة في سجلات أخرى: لا يُعتبر إلا معها.";
    board: "Watch board", "Tableau de veille", "لوحة المناوبة";
    board_empty:
        "Nothing is open. What comes or changes appears here.",
        "Rien en attente. Ce qui arrive ou change apparaît ici.",
        "لا شيء معلّق. ما يصل أو يتغير يظهر هنا.";
    board_full:
        "There is more since then than is shown here.",
        "Il y a davantage depuis lors que ce qui est affiché ici.",
        "منذ ذلك الوقت أكثر مما يظهر هنا.";
    bundle_branch: "Continue another branch of a forked log", "Suivent une autre branche d’un journal dédoublé", "تتابع فرعًا آخر من سجل متشعب";
    bundle_for: "For which devices", "Pour quels appareils", "لأي أجهزة";
    bundle_gap: "Wait for what is missing before them", "Attendent ce qui les précède", "تنتظر ما ينقص قبلها";
    bundle_held: "Were here already", "Déjà présentes", "موجودة من قبل";
    bundle_in: "Take a bundle in", "Recevoir un lot", "استلام حزمة";
    bundle_made: "Made", "Fait le", "صُنعت";
    bundle_maker: "Made by", "Fait par", "صنعها";
    bundle_new: "New entries", "Nouvelles entrées", "قيود جديدة";
    bundle_out: "Make a bundle", "Faire un lot", "صنع حزمة";
    bundle_refused: "Not taken: not known here, or no room", "Refusées : inconnues ici, ou manque de place", "لم تُقبل: غير معروفة هنا أو لا مكان";
    bundle_since: "What goes in", "Contenu", "ما يدخل فيها";
    bundle_stale:
        "This bundle, or a later one of the same maker, was read before.",
        "Ce lot, ou un plus récent du même auteur, a déjà été lu.",
        "قُرئت هذه الحزمة أو أحدث منها من الصانع نفسه من قبل.";
    bundle_taken: "The bundle was read", "Le lot a été lu", "قُرئت الحزمة";
    bundles: "Bundles", "Lots", "الحزم";
    bundles_text:
        "A bundle is a sealed file that is carried by hand. Only the devices that it is made for can read it, and it enters as if it came over a link.",
        "Un lot est un fichier scellé transporté à la main. Seuls ses destinataires peuvent le lire ; il entre comme par une liaison.",
        "الحزمة ملف مختوم يُحمل باليد. لا يقرؤها إلا الأجهزة التي صُنعت لها، وتدخل كما لو جاءت عبر وصلة.";
    by_arrival: "when it arrived here", "son arrivée ici", "وقت وصولها إلى هنا";
    by_dates: "its own dates", "ses propres dates", "تواريخها الخاصة";
    cause: "Cause", "Cause", "السبب";
    chain_broken:
        "The log was altered or cut.",
        "Le journal a été altéré ou coupé.",
        "تم تغيير السجل أو قطعه.";
    chain_holds:
        "The chain holds. Entries and head:",
        "La chaîne est intacte. Entrées et tête :",
        "السلسلة سليمة. القيود ورأس السلسلة:";
    change: "Change", "Modifier", "تغيير";
    changed_word: "changed", "modifié", "آخر تغيير";
    check_duplicates: "Look for duplicates", "Chercher des doublons", "البحث عن مكررات";
    choose_kind: "What is it about?", "De quoi s’agit-il ?", "ما موضوع التقرير؟";
    clear: "Clear filters", "Effacer les filtres", "مسح عوامل التصفية";
    coalition: "Coalition", "Coalition", "التحالف";
    coarse_place: "Places in squares of", "Lieux par carrés de", "المواقع ضمن مربعات";
    coarse_time: "Times to the", "Heures arrondies à", "الأوقات مقرّبة إلى";
    code: "Code of your authenticator", "Code de votre authentificateur", "رمز تطبيق المصادقة";
    code_for: "One-time code for", "Code à usage unique pour", "رمز لمرة واحدة لـ";
    code_help:
        "Six digits, if you have a second factor.",
        "Six chiffres, si vous avez un second facteur.",
        "ستة أرقام، إن كان لديك عامل ثانٍ.";
    code_once:
        "It is shown once and good for a day. Hand it over in person.",
        "Il s’affiche une seule fois et vaut un jour. Remettez-le en main propre.",
        "يظهر مرة واحدة ويصلح ليوم واحد. سلّمه باليد.";
    conflicts: "Concurrent values", "Valeurs concurrentes", "قيم متزامنة";
    conflicts_text:
        "These were written without knowledge of one another. Take one; the others stay in the history.",
        "Elles ont été écrites sans se connaître. Choisissez-en une ; les autres restent dans l’historique.",
        "كُتبت دون علم بعضها ببعض. اختر واحدة، وتبقى الأخرى في السجل.";
    content: "Content", "Contenu", "المحتوى";
    countersigned:
        "Releases wait for another’s signature",
        "Les communications attendent une seconde signature",
        "الإصدار ينتظر توقيعًا ثانيًا";
    counts: "counts", "compte", "معتبر";
    declare_lost: "Declare it lost", "Le déclarer perdu", "إعلان فقدانه";
    despite:
        "I have read what it tells beside, and release it all the same",
        "J’ai lu ce qui transparaît, et je communique malgré tout",
        "قرأت ما يُفصح عنه عرضًا، وأصدره رغم ذلك";
    device: "Device", "Appareil", "الجهاز التقني";
    devices: "Devices", "Appareils", "الأجهزة التقنية";
    devices_text:
        "A device that may be in other hands is declared lost: its keys open nothing new from then on, and what it writes does not count.",
        "Un appareil peut-être en d’autres mains se déclare perdu : ses clés n’ouvrent plus rien de nouveau, et ce qu’il écrit ne compte plus.",
        "يُعلن فقدان الجهاز الذي قد يكون في أيدٍ أخرى: لا تفتح مفاتيحه جديدًا بعدها ولا يُعتبر ما يكتبه.";
    differ:
        "The two passphrases differ.",
        "Les deux phrases secrètes diffèrent.",
        "عبارتا المرور مختلفتان.";
    digest: "Digest", "Empreinte", "البصمة";
    do_it: "Do it", "Exécuter", "تنفيذ";
    draft_discard: "Discard the draft", "Abandonner le brouillon", "حذف المسودة";
    draft_keep: "Keep as a draft", "Garder en brouillon", "حفظ مسودة";
    draft_kept: "Draft kept.", "Brouillon gardé.", "حُفظت المسودة.";
    draft_restored: "This is your draft of", "Voici votre brouillon du", "هذه مسودتك بتاريخ";
    draft_unkept:
        "The draft could not be kept. Do not leave this page.",
        "Le brouillon n’a pu être gardé. Ne quittez pas cette page.",
        "تعذّر حفظ المسودة. لا تغادر هذه الصفحة.";
    duplicates: "Perhaps the same", "Peut-être identiques", "ربما مكررة";
    duplicates_text:
        "These records have the same number or name. Write a new one only if none of them is it.",
        "Ces fiches portent le même numéro ou nom. N’en écrivez une nouvelle que si aucune ne convient.",
        "لهذه السجلات الرقم أو الاسم نفسه. اكتب سجلًا جديدًا فقط إن لم يكن أيّ منها هو المقصود.";
    edit: "Edit", "Modifier la fiche", "تعديل";
    end_shift: "End my shift", "Terminer mon quart", "إنهاء مناوبتي";
    ended: "ended", "terminé", "منتهٍ";
    enrol_text:
        "Your role needs a second factor. Scan the code with an authenticator, or type the secret, and enter the six digits that it shows.",
        "Votre rôle exige un second facteur. Lisez le code avec un authentificateur, ou tapez le secret, et saisissez les six chiffres affichés.",
        "يتطلب دورك عاملًا ثانيًا. امسح الرمز بتطبيق مصادقة أو اكتب المفتاح، ثم أدخل الأرقام الستة.";
    entries: "Entries", "Entrées", "القيود";
    erase: "Erase: destroy it everywhere", "Effacer : détruire partout", "محو: إتلافه في كل مكان";
    erasure_due:
        "It is erased, and is destroyed here at",
        "Fiche effacée ; elle sera détruite ici le",
        "مُحي، ويُتلف هنا في";
    event_word: "Event", "Événement", "الحدث";
    expired: "code expired", "code expiré", "انتهى الرمز";
    exposure: "What it could read", "Ce qu’il pouvait lire", "ما كان يستطيع قراءته";
    exposure_text:
        "Only records that you may see are listed.",
        "Seules les fiches que vous pouvez voir sont listées.",
        "تُدرج فقط السجلات التي يمكنك رؤيتها.";
    failed: "This did not work", "Échec", "تعذّر التنفيذ";
    failed_text:
        "The peer could not do it; its log says why. Try again later.",
        "Le pair n’a pas pu le faire ; son journal dit pourquoi. Réessayez plus tard.",
        "تعذّر على هذا القرين تنفيذه، وسجله يبيّن السبب. حاول لاحقًا.";
    fetch: "Fetch", "Récupérer", "جلب";
    field_word: "Field", "Champ", "الحقل";
    fields: "Fields", "Champs", "الحقول";
    file: "File", "Fichier", "الملف";
    file_away: "not all of it is here:", "incomplet ici :", "ليس كاملًا هنا:";
    file_coming: "it is coming:", "en cours d’arrivée :", "في الطريق:";
    file_not_here:
        "Not all of it is here yet. Peers were asked for it.",
        "Il n’est pas encore complet ici. Les pairs ont été sollicités.",
        "ليس كاملًا هنا بعد. طُلب من الأقران.";
    file_whole: "here whole", "complet ici", "كامل هنا";
    files: "Files", "Fichiers", "الملفات";
    filter: "Filter", "Filtrer", "تصفية";
    first_bad: "First that does not count", "Première qui ne compte pas", "أول ما لا يُعتبر";
    first_page: "First page", "Première page", "الصفحة الأولى";
    first_sign_in:
        "First sign-in with a one-time code",
        "Première connexion avec un code",
        "أول دخول برمز لمرة واحدة";
    flash_waits: "flash waits since", "éclair en attente depuis", "برقية عاجلة تنتظر منذ";
    forbidden: "Not allowed", "Non autorisé", "غير مسموح";
    forbidden_text:
        "Your role does not allow this, or the form was too old.",
        "Votre rôle ne le permet pas, ou le formulaire était périmé.",
        "دورك لا يسمح بذلك، أو أن النموذج قديم.";
    founder: "founder", "fondateur", "مؤسس";
    from: "From", "Du", "من";
    go_on: "Go on", "Continuer", "متابعة";
    goes_to: "Where it goes", "Où elle va", "وجهة التقرير";
    grants: "Grants", "Habilitations", "التخويلات";
    grants_text:
        "Who gave whom which right. What follows from a grant stands below it.",
        "Qui a donné quel droit à qui. Ce qui découle d’une habilitation figure en dessous.",
        "من منح من أيّ حق. وما يترتب على التخويل يظهر تحته.";
    handover: "Handover notes", "Notes de relève", "ملاحظات التسليم";
    handover_help:
        "At most 2,000 characters. It is shown here to those who see records up to your ceiling.",
        "2 000 caractères au plus. Affichée ici à ceux qui voient les fiches jusqu’à votre plafond.",
        "2000 حرف على الأكثر. تظهر هنا لمن يرى السجلات حتى سقفك.";
    handover_text: "What the next shift should know", "Ce que le prochain quart doit savoir", "ما ينبغي أن تعرفه المناوبة التالية";
    happened: "Happened", "Survenu", "وقت الحدث";
    heard: "Last heard", "Dernier contact", "آخر اتصال";
    held_by: "A hold keeps it from being destroyed. On whose word:",
        "Un gel empêche sa destruction. Sur la parole de :",
        "يمنع أمرُ حفظٍ إتلافه. صاحب الأمر:";
    held_founders: "the founders together", "les fondateurs ensemble", "المؤسسون معًا";
    held_everywhere: "for all who hold it", "pour tous les détenteurs", "لكل من يحمله";
    held_own: "for that agency’s own peers", "pour les pairs de cette agence", "لأقران تلك الجهة وحدها";
    heard_it: "These have heard:", "En sont informés :", "بلغ هؤلاء:";
    held_back: "held back", "retenu", "محجوب";
    help: "Help", "Aide", "مساعدة";
    help_audit:
        "What you read, write and decide here is written down, with your role and purpose, before it is shown.",
        "Ce que vous lisez, écrivez et décidez ici est consigné, avec votre rôle et votre finalité, avant d’être affiché.",
        "كل ما تقرؤه وتكتبه وتقرره هنا يُسجَّل مع دورك وغرضك قبل عرضه.";
    help_board:
        "The watch board shows what came or changed since your last shift, the most urgent first. Acknowledge what you have seen; it comes back if it changes.",
        "Le tableau de veille montre ce qui est arrivé ou a changé depuis votre dernier quart, le plus urgent d’abord. Accusez réception de ce que vous avez vu ; une fiche revient si elle change.",
        "تعرض لوحة المناوبة ما وصل أو تغير منذ مناوبتك الأخيرة، والأكثر إلحاحًا أولًا. أقرّ بما رأيته، ويعود إن تغير.";
    help_label:
        "Each record bears a label: its TLP colour says with whom it may be shared, the rest what may be done with it. Records above your ceiling are not shown.",
        "Chaque fiche porte une étiquette : la couleur TLP dit avec qui la partager, le reste ce qu’on peut en faire. Les fiches au-dessus de votre plafond ne sont pas affichées.",
        "يحمل كل سجل وسمًا: لون TLP يحدد مع من يُشارك، والباقي ما يجوز فعله به. لا تُعرض السجلات التي تتجاوز سقفك.";
    help_purpose:
        "Say at the top for which purpose you work. Records that may be used for certain purposes only are shown when you work for one of them.",
        "Indiquez en haut pour quelle finalité vous travaillez. Les fiches réservées à certaines finalités ne s’affichent que si vous travaillez pour l’une d’elles.",
        "حدّد في الأعلى الغرض الذي تعمل له. السجلات المقصورة على أغراض معينة لا تظهر إلا عند العمل لأحدها.";
    hidden:
        "Its content is restricted and not shown.",
        "Son contenu est restreint et n’est pas affiché.",
        "محتواه مقيّد ولا يُعرض.";
    hide: "hide", "masquer", "إخفاء";
    history: "History", "Historique", "التاريخ";
    hold:
        "Hold: keep it, nobody may erase it",
        "Geler : conserver, personne ne peut effacer",
        "حفظ: إبقاؤه ومنع محوه";
    holders: "Who else may hold it", "Qui d’autre peut la détenir", "من غيرنا قد يحوزه";
    holds_it: "Holds it", "La détient", "يحوزه";
    how_exact: "How exact, under which label", "Précision et étiquette", "الدقة والوسم";
    if_counted: "If it counted", "S’il comptait", "لو كان معتبرًا";
    in_force: "in force", "en vigueur", "ساري";
    inbox: "Quarantine inbox", "Quarantaine", "صندوق الحجر";
    inbox_empty: "Everything that is here counts.", "Tout ce qui est ici compte.", "كل ما هنا معتبر.";
    inbox_text:
        "Entries that do not count: written after a device was lost, or on a branch of a forked log. Honest work that came late is among them; read it, and let it count.",
        "Entrées qui ne comptent pas : écrites après la perte d’un appareil, ou sur une branche d’un journal dédoublé. Un travail honnête arrivé tard s’y trouve ; lisez-le et faites-le compter.",
        "قيود غير معتبرة: كُتبت بعد فقدان جهاز أو على فرع من سجل متشعب. بينها عمل نزيه وصل متأخرًا؛ اقرأه واعتمده.";
    invited: "invited", "invité", "مدعو";
    is_changed: "changed", "modifié", "متغيّر";
    is_new: "new", "nouveau", "جديد";
    keep_view: "Keep these filters as a view", "Garder ces filtres comme vue", "حفظ عوامل التصفية هذه كعرض";
    keys: "Single-key shortcuts", "Raccourcis à une touche", "اختصارات المفتاح الواحد";
    keys_help:
        "j and k step through rows, a acknowledges, / searches, n writes a report; g then b, r, p, t, m, s or h goes to a page.",
        "j et k parcourent les lignes, a accuse réception, / cherche, n écrit un rapport ; g puis b, r, p, t, m, s ou h mène à une page.",
        "j و k للتنقل بين الصفوف، a للإقرار، / للبحث، n لتقرير جديد؛ و g ثم b أو r أو p أو t أو m أو s أو h للانتقال إلى صفحة.";
    kind_word: "Kind", "Type", "النوع";
    label: "Label", "Étiquette", "الوسم";
    language_word: "Language", "Langue", "اللغة";
    last_good: "Last that counts", "Dernière qui compte", "آخر ما يُعتبر";
    last_login: "Signed in last", "Dernière connexion", "آخر دخول";
    leak_identifier: "looks like a number or address of somebody:", "ressemble à un numéro ou une adresse :", "يشبه رقمًا أو عنوانًا لشخص:";
    leak_place: "is more exact than a kilometre:", "est plus précis qu’un kilomètre :", "أدق من كيلومتر:";
    leak_reference: "names another record:", "nomme une autre fiche :", "يسمّي سجلًا آخر:";
    leak_series: "is a number of a series, its neighbours can be guessed:", "est un numéro de série, ses voisins se devinent :", "رقم متسلسل يمكن تخمين جيرانه:";
    leak_withheld: "says what is held back:", "révèle ce qui est retenu :", "يكشف ما هو محجوب:";
    leaks:
        "It would tell more than its fields:",
        "Elle en dirait plus que ses champs :",
        "سيفصح عن أكثر من حقوله:";
    lift: "Lift: end our holds and restrictions", "Lever : mettre fin à nos gels et restrictions", "رفع: إنهاء حفظنا وتقييدنا";
    lifted: "Lifted", "Levés", "رُفع";
    linked: "Linked", "Liens", "روابط";
    linked_full:
        "There are more than are listed.",
        "Il y en a davantage que la liste n’en montre.",
        "هناك أكثر مما هو مدرج.";
    live_back: "The peer answers again.", "Le pair répond à nouveau.", "عاد القرين إلى الاستجابة.";
    live_flash: "A flash came.", "Un message éclair est arrivé.", "وصلت برقية عاجلة.";
    live_lost:
        "The peer does not answer. What is shown here may be old; it is tried again.",
        "Le pair ne répond pas. L’affichage peut être périmé ; nouvelles tentatives en cours.",
        "القرين لا يستجيب. قد يكون المعروض قديمًا؛ تُعاد المحاولة.";
    locked:
        "Too many attempts failed. Try again in",
        "Trop d’échecs. Réessayez dans",
        "محاولات فاشلة كثيرة. حاول بعد";
    lost:
        "Part of the index cannot be read: records are missing here.",
        "Une partie de l’index est illisible : il manque des fiches ici.",
        "جزء من الفهرس غير مقروء: هناك سجلات ناقصة هنا.";
    lost_already: "It was declared lost before", "Déjà déclaré perdu", "أُعلن فقدانه من قبل";
    lost_done: "It is declared lost", "Il est déclaré perdu", "أُعلن فقدانه";
    lost_dry: "What would happen; nothing was done", "Ce qui se passerait ; rien n’a été fait", "ما سيحدث؛ لم يُنفّذ شيء";
    lost_next:
        "What it wrote later and honestly waits in the",
        "Ce qu’il a écrit plus tard et honnêtement attend en",
        "ما كتبه لاحقًا بنزاهة ينتظر في";
    lost_preview: "See what would happen", "Voir ce qui se passerait", "عرض ما سيحدث";
    lost_since: "In other hands since", "En d’autres mains depuis", "في أيدٍ أخرى منذ";
    lost_since_help:
        "In UTC, as 2026-03-14T15:00:00Z. What it wrote before counts still.",
        "En UTC, comme 2026-03-14T15:00:00Z. Ce qu’il a écrit avant compte toujours.",
        "بتوقيت UTC مثل 2026-03-14T15:00:00Z. ما كتبه قبل ذلك يبقى معتبرًا.";
    lost_sure:
        "I am sure: only a new enrolment brings it back",
        "Je confirme : seul un nouvel enrôlement le rétablit",
        "أؤكد: لا يعيده إلا تسجيل جديد";
    lost_text:
        "This is signed, reaches every peer first of all, and gives new keys to every compartment that it could read.",
        "L’acte est signé, atteint chaque pair en premier, et renouvelle les clés de chaque compartiment qu’il pouvait lire.",
        "يُوقَّع هذا ويصل إلى كل قرين قبل غيره، ويجدد مفاتيح كل حيّز كان يقرؤه.";
    map: "Map", "Carte", "الخريطة";
    map_caption:
        "Places in WGS 84. Boundaries are indicative and imply no endorsement; the shores of Lake Chad are a sketch. Forms tell urgency: triangle flash, diamond immediate, square priority, circle routine.",
        "Lieux en WGS 84. Les frontières sont indicatives et n’impliquent aucune prise de position ; les rives du lac Tchad sont une esquisse. Les formes disent l’urgence : triangle éclair, losange immédiat, carré prioritaire, cercle routine.",
        "المواقع بنظام WGS 84. الحدود استرشادية ولا تعني أي إقرار؛ وشواطئ بحيرة تشاد رسم تخطيطي. تدل الأشكال على الإلحاح: المثلث برقي، المعين فوري، المربع أولوية، الدائرة اعتيادي.";
    members: "Members", "Membres", "الأعضاء";
    mesh: "Mesh", "Réseau", "الشبكة";
    more: "More", "Plus", "المزيد";
    more_logs: "Further logs of it, of which nothing is kept:", "Autres journaux dont rien n’est gardé :", "سجلات أخرى لا يُحفظ منها شيء:";
    name: "Name", "Nom", "الاسم";
    navigation: "Sections", "Rubriques", "الأقسام";
    never: "never", "jamais", "أبدًا";
    new_keys: "New keys in:", "Nouvelles clés dans :", "مفاتيح جديدة في:";
    new_report: "New report", "Nouveau rapport", "تقرير جديد";
    news: "Something new – show", "Du nouveau – afficher", "جديد – عرض";
    next_page: "Next page", "Page suivante", "الصفحة التالية";
    no: "no", "non", "لا";
    no_answer: "no answer yet", "pas encore de réponse", "لا جواب بعد";
    no_coalition:
        "This peer belongs to no coalition yet.",
        "Ce pair n’appartient encore à aucune coalition.",
        "لا ينتمي هذا القرين إلى أي تحالف بعد.";
    no_content: "It says nothing that is shown.", "Aucun contenu à afficher.", "لا محتوى للعرض.";
    no_duplicates:
        "No record that you can see has the same number or name.",
        "Aucune fiche que vous pouvez voir n’a le même numéro ou nom.",
        "لا سجل مما يمكنك رؤيته يحمل الرقم أو الاسم نفسه.";
    no_handover: "The last shift left no note.", "Le dernier quart n’a laissé aucune note.", "لم تترك المناوبة الأخيرة ملاحظة.";
    no_leaks:
        "The check found nothing that it tells beside. It finds what is overlooked; it proves nothing.",
        "Le contrôle n’a rien trouvé qui transparaisse. Il repère des oublis ; il ne prouve rien.",
        "لم يجد الفحص شيئًا يُفصح عنه عرضًا. إنه يكشف السهو ولا يثبت شيئًا.";
    no_links:
        "No record that you can see is linked with it.",
        "Aucune fiche que vous pouvez voir n’y est liée.",
        "لا سجل مما يمكنك رؤيته مرتبط به.";
    no_logs: "It wrote nothing that is here.", "Il n’a rien écrit qui soit ici.", "لم يكتب شيئًا موجودًا هنا.";
    no_peers:
        "No peers are known yet.",
        "Aucun pair connu pour l’instant.",
        "لا أقران معروفون بعد.";
    no_place:
        "The place cannot be read. Write for example 13.31, 14.10 or 13°18'36\"N 14°06'E or 33P VQ 12345 67890.",
        "Le lieu est illisible. Écrivez par exemple 13.31, 14.10 ou 13°18'36\"N 14°06'E ou 33P VQ 12345 67890.",
        "تعذّرت قراءة الموقع. اكتب مثلًا 13.31, 14.10 أو 13°18'36\"N 14°06'E أو 33P VQ 12345 67890.";
    no_proposals:
        "Nothing waits for signatures.",
        "Rien n’attend de signature.",
        "لا شيء ينتظر التوقيع.";
    no_receivers: "Nobody reads there yet.", "Personne n’y lit encore.", "لا أحد يقرأ هناك بعد.";
    no_releases: "No release waits for a signature.", "Aucune communication n’attend de signature.", "لا إصدار ينتظر توقيعًا.";
    nobody: "nobody", "personne", "لا أحد";
    not_done: "Not done", "Non exécuté", "لم يُنفّذ";
    not_done_text:
        "It was tried and refused. Nothing was changed.",
        "L’action a été refusée. Rien n’a été modifié.",
        "رُفض الطلب. لم يتغير شيء.";
    not_found: "Not there", "Introuvable", "غير موجود";
    not_found_text:
        "There is nothing here that you can see.",
        "Il n’y a rien ici que vous puissiez voir.",
        "لا يوجد هنا ما يمكنك رؤيته.";
    not_heard:
        "Of these it is not known whether they have heard; tell them by other means:",
        "On ignore si ceux-ci sont informés ; prévenez-les autrement :",
        "لا يُعرف إن بلغ هؤلاء؛ أبلغهم بوسيلة أخرى:";
    not_your_own: "You prepared it: another signs.", "Vous l’avez préparée : un autre signe.", "أنت من أعدّه: يوقّعه غيرك.";
    not_yourself:
        "Another administrator changes your own account.",
        "Un autre administrateur doit modifier votre propre compte.",
        "يغيّر حسابَك مدير آخر.";
    nothing_found:
        "No record that you can see matches.",
        "Aucune fiche visible ne correspond.",
        "لا سجل مرئي مطابق.";
    nothing_said: "Nothing was said of it.", "Rien n’a été dit à son sujet.", "لم يُقل عنه شيء.";
    number: "No.", "N°", "رقم";
    offset: "Local time", "Heure locale", "التوقيت المحلي";
    operator: "Operator", "Opérateur", "المشغّل";
    operators: "Operators", "Opérateurs", "المشغّلون";
    or_agencies: "the agencies ticked below", "les services cochés ci-dessous", "الأجهزة المحددة أدناه";
    origin: "Origin", "Origine", "المصدر";
    outcome: "Outcome", "Résultat", "النتيجة";
    outcome_asked: "asked", "demandé", "مطلوب";
    outcome_destroyed: "destroyed", "détruite", "أُتلف";
    outcome_done: "done", "fait", "تم";
    outcome_hidden: "hidden", "masquée", "أُخفي";
    outcome_marked: "marked", "marquée", "وُسم";
    outcome_nothing: "had nothing", "n’avait rien", "لم يكن لديه شيء";
    outcome_refused: "refused", "refusé", "مرفوض";
    own_room: "our agency alone", "notre service seul", "جهازنا وحده";
    pages: "Pages", "Pages", "الصفحات";
    passphrase: "Passphrase", "Phrase secrète", "عبارة المرور";
    passphrase_help:
        "At least 15 characters: several words that nobody would guess.",
        "Au moins 15 caractères : plusieurs mots que personne ne devinerait.",
        "15 حرفًا على الأقل: عدة كلمات لا يخمّنها أحد.";
    peers: "Peers", "Pairs", "الأقران";
    pick_audience:
        "Choose a compartment or tick agencies, not both.",
        "Choisissez un compartiment ou cochez des services, pas les deux.",
        "اختر حيّزًا أو حدّد أجهزة، لا كليهما.";
    pick_device: "Tick at least one device.", "Cochez au moins un appareil.", "حدّد جهازًا واحدًا على الأقل.";
    pick_fields: "Pick at least one field.", "Choisissez au moins un champ.", "اختر حقلًا واحدًا على الأقل.";
    pick_file: "Choose a file.", "Choisissez un fichier.", "اختر ملفًا.";
    place: "Place", "Lieu", "الموقع";
    place_help:
        "Decimal degrees, degrees and minutes, or MGRS.",
        "Degrés décimaux, degrés et minutes, ou MGRS.",
        "درجات عشرية، أو درجات ودقائق، أو MGRS.";
    places: "Places", "Lieux", "المواقع";
    prepare: "Hand over for signature", "Remettre à la signature", "إحالة للتوقيع";
    prepared_by: "Prepared by", "Préparée par", "أعدّه";
    preview: "See what it would be", "Voir le résultat", "عرض النتيجة";
    proposals: "Proposals", "Propositions", "المقترحات";
    purpose: "Purpose", "Finalité", "الغرض";
    put_away: "Put away, release nothing", "Écarter, ne rien communiquer", "صرف النظر دون إصدار";
    qr:
        "QR code for an authenticator",
        "Code QR pour un authentificateur",
        "رمز QR لتطبيق المصادقة";
    quorum: "Signatures needed", "Signatures requises", "التواقيع المطلوبة";
    reason: "Reason", "Motif", "السبب";
    reason_needed:
        "Say why, in at most 100 characters, and for how long.",
        "Indiquez le motif, en 100 caractères au plus, et la durée.",
        "اذكر السبب، في 100 حرف على الأكثر، والمدة.";
    recall:
        "Recall: it is not to be relied on",
        "Rappeler : ne plus s’y fier",
        "سحب: لا يُعتمد عليه";
    receipts: "What became of it", "Suites données", "ما آل إليه";
    received: "Received", "Reçu", "وقت الاستلام";
    receivers: "Who would receive it, and why", "Qui la recevrait, et pourquoi", "من سيتلقاه ولماذا";
    record: "Record", "Fiche", "السجل";
    records: "Records", "Fiches", "السجلات";
    refused: "Refused by the mesh", "Refusé par le réseau", "رفضته الشبكة";
    refused_text:
        "Your role allows it, but this device or its agency may not do it. Nothing was changed.",
        "Votre rôle le permet, mais cet appareil ou son service n’en a pas le droit. Rien n’a été modifié.",
        "دورك يسمح بذلك، لكن هذا الجهاز أو جهته لا يملك الحق. لم يتغير شيء.";
    relay: "relay", "relais", "مُرحّل";
    relays_text:
        "Blind relays hold it sealed at most, destroy what an erasure names, and give no receipt:",
        "Les relais aveugles la détiennent au plus scellée, détruisent ce qu’un effacement nomme et ne donnent pas de reçu :",
        "المرحّلات العمياء تحوزه مختومًا فقط وتتلف ما يسمّيه المحو ولا تعطي إيصالًا:";
    release: "Release", "Communiquer", "إصدار";
    release_reason: "What it is released for", "Motif de la communication", "غرض الإصدار";
    release_sure: "I have read it as it is released", "Je l’ai relue telle que communiquée", "قرأته كما يُصدر";
    release_text:
        "A release is a new record for another audience with the fields that you pick. What is later said of this record is said of it, too.",
        "Une communication est une nouvelle fiche, pour d’autres destinataires, avec les champs choisis. Ce qu’on dira de cette fiche vaudra aussi pour elle.",
        "الإصدار سجل جديد لجهات أخرى بالحقول التي تختارها. وما يُقال لاحقًا عن هذا السجل يسري عليه أيضًا.";
    releases: "Releases to sign", "Communications à signer", "إصدارات للتوقيع";
    reload: "Reload", "Actualiser", "تحديث";
    remove: "Remove", "Supprimer", "إزالة";
    reopen: "Reopen", "Rouvrir", "إعادة فتح";
    reset: "New code", "Nouveau code", "رمز جديد";
    restrict:
        "Restrict: hide its content",
        "Restreindre : masquer le contenu",
        "تقييد: إخفاء المحتوى";
    retry: "Tried again in", "Nouvel essai dans", "إعادة المحاولة بعد";
    right_word: "What one may do", "Ce qu’on peut faire", "الصلاحية";
    rights_after: "would have", "aurait", "سيكون له";
    rights_before: "has", "a", "له";
    rights_changed: "Rights that it would change", "Droits qui changeraient", "صلاحيات ستتغير";
    role_word: "Role", "Rôle", "الدور";
    roles: "Roles and what they may do", "Rôles et droits", "الأدوار وصلاحياتها";
    room: "Compartment", "Compartiment", "الحيّز";
    rooms: "Compartments", "Compartiments", "الحيّزات";
    runs_since: "Running since", "En marche depuis", "يعمل منذ";
    save: "Save", "Enregistrer", "حفظ";
    say_sure:
        "Tick the box to say that you are sure. Nothing was changed.",
        "Cochez la case pour confirmer. Rien n’a été modifié.",
        "ضع علامة للتأكيد. لم يتغير شيء.";
    sealed_counts:
        "Counts are of sealed entries, whoever may read them.",
        "Les nombres portent sur les entrées scellées, quel qu’en soit le lecteur.",
        "الأعداد للقيود المختومة أيًا كان من يقرؤها.";
    search: "Search", "Rechercher", "بحث";
    search_help:
        "Words, or a \"phrase\", or a beginning* of a word, or",
        "Des mots, une \"phrase\", un début* de mot, ou",
        "كلمات، أو \"عبارة\"، أو بداية* كلمة، أو";
    second_factor: "Second factor", "Second facteur", "العامل الثاني";
    second_signature_text:
        "What one operator prepared, another looks at and signs. Nothing leaves before that.",
        "Ce qu’un opérateur a préparé, un autre le relit et le signe. Rien ne part avant.",
        "ما أعدّه مشغّل يراجعه آخر ويوقّعه. لا يخرج شيء قبل ذلك.";
    secret: "Secret:", "Secret :", "المفتاح:";
    send_again: "Send again", "Renvoyer", "إعادة الإرسال";
    set: "Set", "Appliquer", "تعيين";
    settings: "Settings", "Réglages", "الإعدادات";
    setup_code: "One-time code", "Code à usage unique", "رمز لمرة واحدة";
    setup_text:
        "An administrator gave you a one-time code, or it was printed when the daemon started.",
        "Un administrateur vous a remis un code à usage unique, ou il s’est affiché au démarrage.",
        "أعطاك المدير رمزًا لمرة واحدة، أو طُبع عند بدء التشغيل.";
    sharing: "Sharing", "Partage", "المشاركة";
    show: "show", "afficher", "إظهار";
    sign: "Sign", "Signer", "توقيع";
    sign_in: "Sign in", "Se connecter", "تسجيل الدخول";
    sign_out: "Sign out", "Se déconnecter", "تسجيل الخروج";
    sign_sure:
        "I sign this for our agency",
        "Je signe ceci pour notre service",
        "أوقّع هذا باسم جهازنا";
    signed_by: "Signed by", "Signé par", "وقّعه";
    signed_out: "Signed out", "Déconnecté", "انتهت الجلسة";
    signed_out_text:
        "Your session has ended. Sign in again; what you sent was not taken.",
        "Votre session est terminée. Reconnectez-vous ; votre envoi n’a pas été pris.",
        "انتهت جلستك. سجّل الدخول ثانية، ولم يُؤخذ ما أرسلته.";
    since: "Since", "Depuis", "منذ";
    since_heard: "what they were not heard to have", "ce qu’ils n’ont pas confirmé", "ما لم يؤكدوا امتلاكه";
    since_last: "what was not packed for them yet", "ce qui n’a pas encore été emporté pour eux", "ما لم يُحزم لهم بعد";
    since_start: "everything from the beginning", "tout depuis le début", "كل شيء منذ البداية";
    skip: "Skip to the content", "Aller au contenu", "الانتقال إلى المحتوى";
    snooze: "Put off", "Reporter", "تأجيل";
    snooze_for: "Put off for", "Reporter de", "تأجيل لمدة";
    snoozed_by: "Put off by", "Reporté par", "أجّله";
    state: "State", "État", "الحالة";
    state_blocked: "Blocked", "Bloqué", "محجوب";
    state_catching_up: "Catching up", "Rattrapage", "قيد اللحاق";
    state_ended: "Standing ended", "Habilitation terminée", "انتهت صفته";
    state_live: "Live", "À jour", "متصل";
    state_paused: "Paused", "En pause", "متوقف مؤقتًا";
    state_stale: "Stale", "Périmé", "قديم";
    state_waiting: "Waiting for link", "Attend une liaison", "ينتظر الاتصال";
    still_counts: "Still count", "Comptent encore", "لا تزال معتبرة";
    sure: "I am sure", "Je confirme", "أؤكد ذلك";
    take: "Take this one", "Prendre celle-ci", "اختيار هذه";
    terms: "What is signed", "Ce qui est signé", "ما يُوقَّع عليه";
    theme: "Colours", "Couleurs", "الألوان";
    theme_contrast: "high contrast", "contraste élevé", "تباين عالٍ";
    theme_dark: "dark", "sombre", "داكن";
    theme_light: "light", "clair", "فاتح";
    theme_system: "as the system", "comme le système", "مثل النظام";
    they_lack: "They lack", "Il leur manque", "ينقصهم";
    this_peer: "This peer", "Ce pair", "هذا القرين";
    timeline: "Timeline", "Chronologie", "الخط الزمني";
    timeline_caption:
        "By the time of what they tell. Forms tell urgency, as on the map.",
        "Selon le moment des faits. Les formes disent l’urgence, comme sur la carte.",
        "بحسب وقت الوقائع. تدل الأشكال على الإلحاح كما في الخريطة.";
    title: "Title", "Intitulé", "العنوان";
    to_begin: "To the beginning", "Retour au début", "إلى البداية";
    to_day: "day", "jour", "اليوم";
    to_hour: "hour", "heure", "الساعة";
    to_month: "month", "mois", "الشهر";
    to_record: "To the record", "Retour à la fiche", "إلى السجل";
    told_by: "Told by", "D’après", "بحسب";
    too_many_views: "20 views are kept, which is the most: remove one.", "20 vues sont gardées, c’est le maximum : retirez-en une.", "حُفظ 20 عرضًا وهو الحد: أزل واحدًا.";
    traffic: "Traffic", "Trafic", "حركة البيانات";
    typed: "What you sent", "Votre saisie", "ما أرسلته";
    typed_text:
        "Nothing of it was lost. Change it here and send it again.",
        "Rien n’est perdu. Corrigez ici et renvoyez.",
        "لم يضع منه شيء. عدّله هنا وأعد إرساله.";
    unknown: "unknown", "inconnu", "غير معروف";
    until: "Until", "Au", "إلى";
    untitled: "(untitled)", "(sans titre)", "(بلا عنوان)";
    up_to: "Shown up to", "Affiché jusqu’à", "يُعرض حتى";
    urgency: "Urgency", "Urgence", "الإلحاح";
    verdict: "Verdict", "Verdict", "الحكم";
    verify: "Verify the chain", "Vérifier la chaîne", "التحقق من السلسلة";
    view_full:
        "There are more than are drawn: filter further.",
        "Il y en a davantage : filtrez encore.",
        "هناك أكثر مما رُسم: زد التصفية.";
    views: "Views", "Vues", "العروض";
    void_words: "What it said that does not count any more", "Ses déclarations qui ne comptent plus", "ما قاله ولم يعد معتبرًا";
    wait_for_keys: "Wait for keys", "Attendent des clés", "تنتظر المفاتيح";
    waits_for: "waits for", "attend", "بانتظار";
    we_lack: "We lack", "Il nous manque", "ينقصنا";
    weak:
        "A passphrase has 15 characters at least, and is not the name.",
        "Une phrase secrète a au moins 15 caractères et n’est pas le nom.",
        "عبارة المرور 15 حرفًا على الأقل وليست هي الاسم.";
    what: "What", "Quoi", "ماذا";
    what_counts: "What of it counts", "Ce qui compte de lui", "ما يُعتبر منه";
    when: "When", "Quand", "متى";
    why: "Why can I see this?", "Pourquoi puis-je voir ceci ?", "لماذا أرى هذا؟";
    withhold:
        "Recall, restrict, hold, erase",
        "Rappeler, restreindre, geler, effacer",
        "سحب، تقييد، حفظ، محو";
    withhold_text:
        "These acts are signed and reach every peer that holds the record. An erasure cannot be undone.",
        "Ces actes sont signés et atteignent chaque pair qui détient la fiche. Un effacement est définitif.",
        "هذه الإجراءات موقّعة وتصل إلى كل قرين يحوز السجل. المحو لا رجعة فيه.";
    would_be: "What it would be", "Ce que ce serait", "ما سيكون عليه";
    would_open:
        "No compartment has just this audience: one is opened.",
        "Aucun compartiment n’a exactement ces destinataires : il en sera ouvert un.",
        "لا حيّز له هذه الجهات تحديدًا: سيُفتح واحد.";
    write_it: "Write the report", "Écrire le rapport", "كتابة التقرير";
    written: "written", "écrit", "كُتب";
    wrong:
        "The name, the passphrase or the code is wrong.",
        "Le nom, la phrase secrète ou le code est faux.",
        "الاسم أو عبارة المرور أو الرمز غير صحيح.";
    yes: "yes", "oui", "نعم";
    zone: "Machine-readable zone", "Zone lisible à la machine", "المنطقة المقروءة آليًا";
    zone_help:
        "Type all its lines, < for each filler. Its check digits are checked, and it fills what is left empty.",
        "Tapez toutes ses lignes, < pour chaque remplissage. Ses chiffres de contrôle sont vérifiés, et elle remplit ce qui reste vide.",
        "اكتب جميع أسطرها مع < لكل حشو. تُفحص أرقام التحقق، وتملأ ما تُرك فارغًا.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_there_in_every_language() {
        for language in Language::ALL {
            let words = language.words();
            assert_eq!(words.language, language);
            for (key, text) in words.all() {
                assert!(!text.trim().is_empty() && text.trim() == text, "{key} in {language:?}");
            }
        }
        let arabic = |text: &str| text.chars().any(|c| ('\u{600}'..'\u{700}').contains(&c));
        assert!(ARABIC.all().iter().all(|(key, text)| arabic(text) || *key == "number"));
    }

    #[test]
    fn numbers_are_counted_as_a_language_does() {
        assert_eq!(ENGLISH.days.of(Language::English, 1), "1 day");
        assert_eq!(FRENCH.days.of(Language::French, 0), "0 jour");
        for (n, text) in
            [(1, "يوم واحد"), (2, "يومان"), (3, "3 أيام"), (11, "11 يومًا"), (100, "100 يوم")]
        {
            assert_eq!(ARABIC.days.of(Language::Arabic, n), text);
        }
    }
}
