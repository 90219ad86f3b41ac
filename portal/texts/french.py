"""What the portal says in French.

Here: the sentences, by key. Keys that end in a code of the service (`refusal.…`, `sensor.…`) are looked up by it.
"""

from __future__ import annotations

from typing import Final

FRENCH: Final[dict[str, str]] = {
    # Frame
    "page.inspect": "Écouter",
    "page.history": "Historique",
    "page.overview": "Vue d'ensemble",
    "page.models": "Modèles et données",
    "frame.language": "Langue",
    "frame.works": "Service en marche",
    "frame.away": "Service absent",
    "frame.model": "Modèle {model}, encodeur {encoder}",
    "frame.again": "Réessayer",
    # Problems
    "problem.away": (
        "Le service ne répond pas. Rien n'est perdu : démarrez-le avec `make run`, ou attendez son retour, "
        "puis réessayez."
    ),
    "problem.slow": (
        "Le service met trop longtemps : il est peut-être occupé, ou le réseau est lent. Patientez un peu, "
        "puis réessayez."
    ),
    "problem.missing_route": (
        "Le service est plus ancien que ce portail et n'offre pas encore ceci. Mettez le service à jour."
    ),
    "problem.needs_key": (
        "Le service demande sa clé : donnez WHEELTAPPER_API_KEY au portail (`make run` l'écrit dans .env), "
        "ou saisissez-la sur la page Modèles et données."
    ),
    "problem.busy": "Le service a trop à faire en ce moment. Attendez quelques secondes, puis réessayez.",
    "problem.fault": "Le service a échoué. Réessayez ; si cela dure, regardez son journal (data/logs/serve.log).",
    "problem.detail": "Il dit : {detail}",
    "refusal.empty": "Le fichier est vide. Enregistrez à nouveau ou choisissez un autre fichier.",
    "refusal.not_audio": "Ce n'est pas un fichier audio lisible. Envoyez du WAV, FLAC, OGG, MP3 ou AIFF.",
    "refusal.truncated": "Le fichier s'arrête avant la fin annoncée : la copie est incomplète. Copiez-le à nouveau.",
    "refusal.not_finite": (
        "Le fichier contient des échantillons qui ne sont pas des nombres. Exportez-le à nouveau en WAV 16 bits."
    ),
    "refusal.silent": "Il n'y a aucun son dans le fichier. Vérifiez le microphone et son câble.",
    "refusal.too_short": "L'extrait est trop court pour être jugé. Enregistrez quelques secondes.",
    "refusal.too_long": "L'extrait dépasse la durée acceptée. Découpez-le.",
    "refusal.too_large": "Le fichier dépasse la taille acceptée. Découpez-le ou enregistrez-le en FLAC.",
    "refusal.unsupported_format": (
        "Sa fréquence d'échantillonnage ou son nombre de voies n'est pas pris en charge. Exportez-le à 16 ou 48 kHz."
    ),
    "refusal.unknown_prediction": "Cette prédiction n'existe pas. Cherchez-la dans l'historique.",
    "refusal.clip_gone": "L'enregistrement n'est plus conservé ; son verdict et ses chiffres le sont.",
    "refusal.another_answer_stands": (
        "Une autre réponse a été donnée entre-temps et reste. Rechargez la page pour la voir."
    ),
    "refusal.already_answered": "Quelqu'un a déjà répondu. Rechargez la page pour voir la réponse.",
    "refusal.nothing_to_roll_back_to": "Aucune autre version n'a servi avant celle-ci.",
    "refusal.unknown_model": "Cette version n'existe plus. Rechargez la page.",
    "refusal.no_archive": "Le fichier n'est pas un zip : mettez-y les dossiers d'enregistrements.",
    "refusal.no_reference": (
        "Il n'y a pas encore de référence : ajoutez des enregistrements, ou lancez `wheeltapper embed`."
    ),
    "refusal.unknown_question": "Cette question n'existe plus.",
    "refusal.no_answer": "Personne n'a encore répondu.",
    # Inspect
    "inspect.title": "Écouter",
    "inspect.help": "Donnez-lui l'enregistrement d'une machine : il dit si elle sonne saine, et où elle ne l'est pas.",
    "inspect.linked": "Une prédiction",
    "inspect.new": "Écouter d'autres extraits",
    "inspect.source": "Origine des extraits",
    "source.upload": "Fichiers",
    "source.record": "Microphone",
    "source.demo": "Extraits de démonstration",
    "upload.label": "Enregistrements : WAV, FLAC, MP3, OGG, AIFF",
    "upload.help": (
        "Déposez ici un ou plusieurs fichiers : WAV, FLAC, MP3, OGG ou AIFF, d'un quart de seconde à dix "
        "minutes chacun."
    ),
    "record.help": (
        "Tenez le micro près de la machine et enregistrez quelques secondes, une minute au plus. La réduction de "
        "bruit et le gain automatique, que les navigateurs ajoutent pour la parole, sont désactivés."
    ),
    "record.cleaned": (
        "Ce navigateur a tout de même filtré l'enregistrement : la réduction de bruit et le gain automatique enlèvent "
        "justement le son d'une machine. Bon pour un premier essai ; jugez les machines sur les fichiers d'un "
        "enregistreur."
    ),
    "recorder.start": "Enregistrer",
    "recorder.stop": "Arrêter",
    "recorder.failed": "Le micro ne peut pas être utilisé. Voyez si un autre programme l'occupe, puis réessayez.",
    "recorder.insecure": (
        "Les navigateurs ne donnent le micro qu'aux pages de cette machine (127.0.0.1) ou en https. Enregistrez un "
        "fichier et envoyez-le."
    ),
    "recorder.NotAllowedError": (
        "Le navigateur n'a pas eu le droit d'écouter : autorisez le micro pour cette page, puis réessayez."
    ),
    "recorder.NotFoundError": "Cette machine n'a pas de micro. Branchez-en un, puis réessayez.",
    "record.name": "enregistrement.wav",
    "demo.label": "Extrait de démonstration",
    "demo.placeholder": "Choisissez : de vraies machines, certaines en panne",
    "demo.line": "{machine} · {kind} · {name}",
    "demo.normal": "saine",
    "demo.abnormal": "en panne",
    "demo.anomaly": "en panne",
    "inspect.machine": "Machine",
    "inspect.machine_unknown": "Inconnue : comparer avec toutes les machines",
    "inspect.machine_help": (
        "Type et section, par exemple fan/id_00. L'extrait est alors comparé aux extraits sains de cette machine."
    ),
    "inspect.preview": "{count} extraits choisis ; aperçu de",
    "inspect.predict": "Prédire",
    "inspect.predict_many": "Prédire {count} extraits",
    "inspect.sending": "{done} jugés sur {count}",
    "inspect.verdicts": "Verdicts de cette visite",
    "inspect.summary": "{odd} anomalies, {normal} normaux, {refused} sans verdict possible.",
    "inspect.older": "{count} plus anciens sont dans l'historique.",
    "list.list": "Extraits",
    "list.play": "Écouter",
    "list.scale": "Score ; le trait est le seuil",
    "list.open": "Choisissez une ligne pour l'ouvrir ; son image la fait entendre.",
    # The verdict
    "verdict.anomaly": "ANOMALIE",
    "verdict.normal": "normal",
    "verdict.anomaly.known": "Cela ne ressemble pas aux extraits sains de {machine}.",
    "verdict.anomaly.unknown": "Cela ne ressemble à aucune des machines saines que le modèle connaît.",
    "verdict.normal.known": "Cela ressemble aux extraits sains de {machine}.",
    "verdict.normal.unknown": "Cela ressemble à une machine saine que le modèle connaît.",
    "score.above": "Score {score}, au-dessus du seuil {threshold} : plus il est haut, moins cela sonne sain.",
    "score.below": "Score {score}, pas au-dessus du seuil {threshold} : plus il est haut, moins cela sonne sain.",
    "score.threshold": "seuil {threshold}",
    "p_value.sentence": "Sur 100 extraits sains, {many} sonneraient au moins aussi étrangement (p = {p}).",
    "p_value.all": "tous",
    "p_value.about": "environ {count}",
    "p_value.one": "environ un",
    "p_value.less": "moins d'un",
    "rate.used": "Environ {rate} des extraits sains dépassent ce seuil et donnent une fausse alerte.",
    "rate.asked": "{rate} était demandé ; il faut pour cela plus d'enregistrements sains.",
    "sensor.fine": "Aucun défaut de microphone ou de câble trouvé.",
    "sensor.bad": "défaut",
    "sensor.worthless": (
        "L'enregistrement est si mauvais que le verdict ci-dessous ne vaut rien. Vérifiez le microphone, "
        "puis recommencez."
    ),
    "sensor.clipping": "Le son sature : ses crêtes sont coupées. Baissez le gain.",
    "sensor.dropouts": (
        "Le son se coupe par moments. Vérifiez le câble, la liaison radio ou le tampon de l'enregistreur."
    ),
    "sensor.dead_channel": "Une voie est morte ou bloquée. Vérifiez le microphone et sa prise.",
    "sensor.dc_offset": "Il y a une composante continue. Vérifiez l'alimentation du microphone.",
    "sensor.mains_hum": "Le ronflement du secteur domine. Vérifiez le blindage et la terre du microphone.",
    "sensor.bandwidth": (
        "Les hautes fréquences manquent : enregistré ou stocké à une fréquence plus basse. Enregistrez à "
        "16 kHz ou plus, sans MP3."
    ),
    "sensor.level": "Le niveau est loin de celui de la référence. Comparez le gain et la place du microphone.",
    "explanation.throughout": "Le son est étrange du début à la fin : aucun instant ne l'est plus que les autres.",
    "band.more": "{band} : {change} dB de plus que dans les extraits sains",
    "band.less": "{band} : {change} dB de moins que dans les extraits sains",
    "band.same": "{band} : différent des extraits sains, à la même intensité",
    "neighbour.line": "**{machine}**, {label} · {source} : {title}",
    "neighbour.anomaly": "défectueuse",
    "neighbour.normal": "saine",
    "neighbour.gone": "Son enregistrement n'est plus là pour être écouté.",
    "neighbour.unlabelled": "non confirmé",
    "neighbour.reference": "référence",
    "neighbour.prediction": "extrait antérieur",
    "listener.alt": (
        "Forme d'onde et spectrogramme de l'extrait : cliquez pour déplacer la lecture, glissez pour "
        "agrandir, flèches pour se déplacer, plus et moins pour l'échelle"
    ),
    "listener.strength": "étrangeté, instant par instant",
    "listener.odd": "secondes suspectes",
    "listener.more": "plus fort que sain",
    "listener.less": "plus faible que sain",
    "listener.same": "différent, aussi fort",
    "listener.in": "Agrandir",
    "listener.out": "Réduire",
    "listener.whole": "Montrer tout l'extrait",
    "listener.jump": "▶ Moment le plus étrange",
    "detail.windows": "Fenêtres dans le temps",
    "detail.nearest": "Extraits connus les plus proches",
    "detail.nearest_help": "Écoutez et comparez : ce à quoi l'extrait ressemble le plus.",
    "detail.people": "Ce qu'on en dit",
    "detail.figures": "Tous les chiffres",
    "field.filename": "Fichier",
    "field.machine": "Machine",
    "field.created": "Quand",
    "field.duration": "Durée",
    "field.score": "Score",
    "field.threshold": "Seuil",
    "field.p_value": "Valeur p",
    "field.model": "Modèle",
    "field.encoder": "Encodeur",
    "field.id": "Prédiction",
    "field.verdict": "Verdict",
    "field.answer": "Réponse",
    "field.sensor": "Microphone",
    "machine.unknown": "machine inconnue",
    "chart.time": "temps (s)",
    "chart.score": "score d'anomalie",
    "chart.from": "de",
    "chart.to": "à",
    "chart.clips": "extraits",
    "chart.share": "part des extraits",
    "chart.model": "modèle",
    "format.unknown": "inconnu",
    "format.all_frequencies": "toutes les fréquences",
    "format.interval": "95 % : {low} à {high}",
    "format.moment": "%d/%m/%Y %H:%M",
    # Asking and answering
    "ask.help": "Un doute ? Demandez à qui connaît cette machine : un courriel part avec le son et un formulaire.",
    "ask.button": "Prévenir l'opérateur",
    "question.queued": "La question est en route : elle part dans la seconde.",
    "question.handed": "Remise à n8n ; le courriel est en cours d'écriture.",
    "question.n8n_away": (
        "n8n ne prend pas la question ({error}). Elle reste en attente et partira d'elle-même au retour de "
        "n8n ; il n'y a rien à faire ici. Prochain essai : {again}."
    ),
    "question.soon": "bientôt",
    "question.sent": "Envoyée à {to} le {at}. En attente de la réponse.",
    "question.reminded": "{to} a été relancé(e) le {at}. En attente de la réponse.",
    "question.escalated": "Sans réponse : transmise à la seconde adresse le {at}.",
    "question.expired": "Personne n'a répondu à temps. Une réponse tardive compte encore.",
    "question.answered": "{by} a répondu : {answer}.",
    "question.somebody": "Quelqu'un",
    "question.episode": "Une question pour {count} alertes de cette machine dans le même épisode.",
    "question.other": (
        "La question porte sur [un autre extrait de cet épisode]({link}) ; sa réponse étiquette cet extrait-là."
    ),
    "question.form": "Ouvrir le formulaire de l'opérateur",
    "event.created": "posée",
    "event.sent": "courriel envoyé",
    "event.written_by.llm": ", rédigé par le modèle de langage",
    "event.written_by.template": ", rédigé par le gabarit",
    "event.because.no language model is set": "aucun modèle de langage n'est réglé",
    "event.because.no text: the language model is away, slow or wrong": (
        "le modèle de langage était absent, lent ou s'est trompé"
    ),
    "event.reminded": "relance",
    "event.escalated": "transmise à la seconde adresse",
    "event.answered": "répondue",
    "event.expired": "expirée",
    "event.failed": "envoi échoué",
    "asked.queued": "posée, en attente",
    "asked.sent": "posée",
    "asked.reminded": "posée, relancée",
    "asked.escalated": "posée, transmise",
    "asked.answered": "répondue",
    "asked.expired": "sans réponse",
    "answer.anomaly": "vrai défaut",
    "answer.normal": "fausse alerte / saine",
    "answer.unsure": "incertain",
    "answer.open": "Je connais la réponse",
    "answer.correct": "Corriger cette réponse",
    "answer.help": "Ne dites que ce que vous savez : cela entraîne le prochain modèle.",
    "answer.title": "Qu'est-ce que c'était ?",
    "answer.missing": "Choisissez ce que c'était : rien n'est encore enregistré.",
    "answer.operator": "Votre nom",
    "answer.fault": "Type de défaut",
    "answer.comment": "Commentaire",
    "answer.send": "Enregistrer la réponse",
    "answer.stored": "Enregistré, merci.",
    "receipt.given": "{by} a dit : {answer}, {at}.",
    "receipt.counts": "Elle entraîne le prochain modèle.",
    "receipt.counts_not": "Elle est gardée et n'entraîne pas.",
    "receipt.no_retrain": "Aucun réentraînement ne l'a encore utilisée.",
    "receipt.retrain.queued": "Un réentraînement qui l'utilise attend de démarrer.",
    "receipt.retrain.running": "Un réentraînement l'utilise en ce moment.",
    "receipt.retrain.promoted": "Un réentraînement l'a utilisée, et son modèle {version} est en production.",
    "receipt.retrain.kept_champion": (
        "Un réentraînement l'a utilisée ; son modèle n'était pas meilleur, l'ancien est resté."
    ),
    "receipt.retrain.failed": "Le réentraînement qui l'utilisait a échoué ; le prochain l'utilisera.",
    "receipt.moved": "Le score de cet extrait est passé de {before} à {now} : {verdict} selon le modèle d'aujourd'hui.",
    "receipt.neighbours": "{turned} des {of} extraits les plus proches ont un autre verdict depuis.",
    # History
    "history.title": "Historique",
    "history.search": "Chercher",
    "history.search_hint": "partie d'un nom de fichier ou de machine",
    "history.more": "Afficher plus",
    "history.download": "Télécharger en CSV",
    "history.download_help": (
        "Ce que laissent passer les filtres, {most} lignes au plus : choisissez une période pour le reste."
    ),
    "history.nothing_found": "Aucune prédiction ne correspond à ces filtres. Élargissez-en un.",
    "history.empty": (
        "Rien n'a encore été jugé. Ouvrez Écouter et donnez un extrait, ou choisissez-y un extrait de démonstration."
    ),
    "review.anomaly": "Vrai défaut",
    "review.normal": "Fausse alerte",
    "history.was_faulty": "Je sais que celle-ci était défectueuse",
    "history.was_faulty_help": "Un défaut manqué est la réponse la plus précieuse : elle entraîne le prochain modèle.",
    "filter.any": "tous",
    "filter.period": "Période",
    "filter.sort": "Ordre",
    "filter.answer.any": "toutes",
    "filter.answer.open": "sans réponse",
    "filter.answer.anomaly": "vrai défaut",
    "filter.answer.normal": "fausse alerte / saine",
    "filter.answer.unsure": "incertain",
    "period.day": "dernier jour",
    "period.week": "dernière semaine",
    "period.month": "30 derniers jours",
    "period.all": "toujours",
    "sort.newest": "plus récents d'abord",
    "sort.oldest": "plus anciens d'abord",
    "sort.highest": "scores les plus hauts d'abord",
    "sort.oddest": "valeurs p les plus basses d'abord",
    # Overview
    "overview.title": "Vue d'ensemble",
    "overview.days.1": "Dernier jour",
    "overview.days.7": "7 derniers jours",
    "overview.days.30": "30 derniers jours",
    "overview.empty": "Aucun extrait jugé dans cette période. Ouvrez Écouter pour envoyer le premier.",
    "overview.clips": "Extraits jugés",
    "overview.clips_help": "Prédictions de cette période.",
    "overview.alert_rate": "Taux d'alerte",
    "overview.alert_rate_help": "Part des extraits qui ont donné une alerte.",
    "overview.waiting": "Questions en attente",
    "overview.waiting_help": "Posées et pas encore répondues.",
    "overview.precision": "Précision",
    "overview.precision_help": (
        "Parmi les alertes répondues, combien étaient de vrais défauts. Inconnue tant que personne ne répond."
    ),
    "overview.recall": "Rappel",
    "overview.recall_help": (
        "Parmi les vrais défauts, combien ont donné une alerte : estimé sur des extraits tirés au hasard "
        "(audit). Inconnu sans ces réponses."
    ),
    "overview.false_alarms": "Taux de fausses alertes",
    "overview.false_alarms_help": (
        "Parmi les extraits sains, combien ont donné une alerte : estimé avec l'audit. Inconnu sans ces réponses."
    ),
    "overview.by_day": "Par jour",
    "overview.by_machine": "Par machine",
    "overview.scores": "Scores par version du modèle",
    "overview.scores_help": (
        "Les barres de chaque version totalisent un : une autre forme signifie que le modèle ou le son a changé."
    ),
    "overview.people": "Ce qu'on a répondu",
    "overview.confirmed": (
        "**{answered}** alertes répondues : {true} vrais défauts, {false} fausses alertes, {unsure} incertaines."
    ),
    "overview.audit": "Audit : **{asked}** extraits tirés au hasard ont été soumis, {answered} répondus.",
    "overview.audit_unknown": (
        "Sans réponses d'audit, nul ne sait ce qui a été manqué : rappel et taux de fausses alertes restent inconnus."
    ),
    "overview.questions.queued": "{count} en attente d'envoi",
    "overview.questions.sent": "{count} envoyées",
    "overview.questions.reminded": "{count} relancées",
    "overview.questions.escalated": "{count} transmises à la seconde adresse",
    "overview.budget": "{used} questions posées aujourd'hui sur {per_day}.",
    "overview.drift": "Dérive",
    "overview.drift_none": (
        "Pas encore de rapport de dérive : la surveillance n'a pas tourné. Démarrez-la avec `make run "
        'PARTS="monitoring"`.'
    ),
    "overview.drift_at": "Vérifié le {at}, {rows} lignes.",
    "overview.drifted": "À écouter : différents de la référence",
    "overview.drifted_help": "Chaque extrait récent, puis l'extrait de la référence qui en est le plus proche.",
    "overview.drifted_recent": "Récent : [{name}]({link}), {machine}",
    "overview.drifted_nearest": "Le plus proche de la référence",
    "overview.drifted_gone": "L'enregistrement n'est plus conservé.",
    "overview.evidently": "Ouvrir les rapports dans Evidently",
    "overview.model": "Modèle en production",
    "overview.serves": "**{model}**, encodeur {encoder}",
    "overview.next_retrain": "{answers} réponses sur {every} avant le prochain réentraînement",
    "overview.last_retrain": "Dernier réentraînement, {at} :",
    "overview.ledger": "Champion et challengers",
    "drift.ok": "Le son récent ressemble à celui de la référence.",
    "drift.drift": "Le son récent diffère de celui de la référence.",
    "drift.too_few": "Trop peu d'extraits récents pour le dire.",
    "drift.cause.machine": "Les machines ont changé : allez les voir, ou ajoutez des enregistrements à la référence.",
    "drift.cause.sensor": "Le microphone a changé : comparez son gain et sa place.",
    "drift.cause.unknown": "Écoutez les derniers extraits de l'historique.",
    "drift.cause.None": "Écoutez les derniers extraits de l'historique.",
    "ledger.action": "Quoi",
    "ledger.by": "Par",
    "ledger.reason": "Pourquoi",
    "ledger.promoted": "mis en production",
    "ledger.rolled_back": "retour en arrière",
    "ledger.trained": "entraîné",
    "ledger.kept": "challenger pas meilleur : écarté",
    "ledger.threshold": "nouveau taux de fausses alertes",
    "job.queued": "Attend de démarrer.",
    "job.running": "En cours.",
    "job.promoted": "Le nouveau modèle {challenger} était meilleur et sert.",
    "job.kept_champion": "Le nouveau modèle n'était pas meilleur : {champion} reste.",
    "job.failed": "Échec ; le modèle en production est resté.",
    "job.compared": "{metric} : {champion} → {challenger} sur {rows} lignes mises de côté.",
    # Models and data
    "models.title": "Modèles et données",
    "models.tab.versions": "Versions",
    "models.tab.retrain": "Réentraînement",
    "models.tab.threshold": "Taux de fausses alertes",
    "models.tab.reference": "Référence",
    "models.none": "Aucun modèle ne sert encore. `make run` en entraîne un avec les enregistrements de démonstration.",
    "models.serves": "**{model}** sert, créé le {created}.",
    "models.serving": "Sert",
    "models.rate": "Fausses alertes",
    "models.parent": "Parent",
    "models.notes": "Notes",
    "models.pick": "Choisissez une version pour voir ses chiffres ou la mettre en production.",
    "models.manifest": "Manifeste",
    "models.reason": "Pourquoi (gardé dans le registre)",
    "models.promote": "Mettre {model} en production",
    "models.promoted": "{model} sert.",
    "models.roll_back": "Revenir en arrière",
    "models.roll_back_help": "Remettre en production la version d'avant {model}.",
    "models.roll_back_yes": "Oui, revenir",
    "models.rolled_back": "Retour effectué.",
    "key.label": "Clé",
    "key.help": "WHEELTAPPER_API_KEY, créée par `make run` dans .env. Elle reste dans cette visite.",
    "key.needed": "Tout le monde peut regarder. Pour changer modèles ou données, saisissez la clé.",
    "retrain.help": (
        "Un réentraînement utilise toutes les réponses. Son modèle ne sert que s'il est meilleur sur les "
        "enregistrements mis de côté."
    ),
    "retrain.mode": "Comment",
    "retrain.mode.scratch": "à partir de zéro",
    "retrain.mode.warm": "à partir du modèle actuel",
    "retrain.mode.finetune": "ajuster l'encodeur (lent, demande torch)",
    "retrain.start": "Lancer un réentraînement",
    "retrain.by_hand": "lancé dans le portail",
    "retrain.none": "Aucun réentraînement jusqu'ici.",
    "retrain.reason.manual": "à la main",
    "retrain.reason.answers": "assez de réponses",
    "retrain.reason.drift": "dérive",
    "retrain.reason.quality": "qualité en baisse",
    "retrain.reason.schedule": "calendrier",
    "retrain.reason.reference": "nouvelle référence",
    "threshold.now": (
        "Demandé : **{asked}** des extraits sains peuvent donner une fausse alerte ; en vigueur : **{used}**."
    ),
    "threshold.out_of_reach": (
        "Le nombre d'enregistrements sains permet {used} au mieux. Ajoutez des enregistrements sains à la "
        "référence pour descendre."
    ),
    "threshold.ask": "Demander",
    "threshold.then_used": "Hors d'atteinte avec si peu d'enregistrements sains : {used} serait utilisé.",
    "threshold.no_clips": "Aucun extrait jugé la semaine dernière : rien à comparer.",
    "threshold.clips": "Extraits de la semaine",
    "threshold.alarms_now": "Alertes actuelles",
    "threshold.alarms_then": "Alertes avec ce taux",
    "threshold.becomes_anomaly": "deviendrait une anomalie",
    "threshold.becomes_normal": "deviendrait normal",
    "threshold.more": "et {count} autres",
    "threshold.version": "Le régler crée une nouvelle version du modèle, sur laquelle on peut revenir.",
    "threshold.set": "Régler sur {rate}",
    "threshold.done": "{rate} est en vigueur.",
    "reference.size": "{clips} extraits de {machines} machines, {rows} fenêtres.",
    "reference.clips": "Extraits",
    "reference.normal": "Normaux",
    "reference.anomaly": "Anomalies",
    "reference.held_out": "Mis de côté",
    "reference.windows": "Fenêtres",
    "reference.held_out_help": "Les enregistrements mis de côté n'entraînent jamais : on y compare les modèles.",
    "reference.add": "Ajouter des enregistrements",
    "reference.layouts": (
        "Un zip selon l'une de ces formes : `MACHINE/normal/*.wav` (et, s'il y en a, `MACHINE/abnormal/`), "
        "MIMII, DCASE Task 2, ou une table `path,target`."
    ),
    "reference.zip": "Fichier zip",
    "reference.send": "Ajouter {name}",
    "reference.sending": "Envoi …",
}
