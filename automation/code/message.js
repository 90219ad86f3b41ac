// E-mails: subject, HTML and text in the reader's language. Needs facts.js. Pure: `question(facts, kind, summary)`,
// `news(news)` → { id, to, subject, html, text }. Readable on a phone and without pictures; nothing is fetched from outside.
//
// `id` marks a message for good: the same message sent twice has the same Message-ID (hooks.js), so that mail programs
// show it once.

const TEXTS = {
  en: {
    subject: (name) => `Real fault or false alarm? ${name}`,
    subjectCalm: (name) => `Does this sound right? ${name}`,
    remind: (subject) => `Reminder: ${subject}`,
    escalate: (subject) => `Still unanswered: ${subject}`,
    why: {
      alarm: "An alarm: please listen and say what it is.",
      uncertain: "The system is not sure about this one. Your answer teaches it the most.",
      audit: "A routine check, drawn at random, of a sound that the system takes for normal: only so is it known what it misses.",
      manual: "Somebody asked for your judgement of this sound.",
    },
    reminder: "This question was asked before and is still open.",
    escalation: (name) => `This question was sent to ${name} and is still open. You are asked as the second address.`,
    what: "What was heard", sure: "How sure", why_title: "Why", next: "What to do", likely: "Often behind it",
    contact: "Contact", sensor: "About the microphone", question: "Your answer",
    real: "Real fault", false: "False alarm", unsure: "Not sure", form: "Answer in the form", portal: "Open in the portal",
    attached: "The sound is attached.", notAttached: "Listen to the sound in the portal.",
    picture: "Spectrogram: time from left to right, pitch from bottom to top, bright is loud",
    noSteps: "No steps are written down for this machine yet (playbook).",
    once: "Opening a link answers nothing: the answer counts when you press Send in the form.",
    noSeconds: "The whole clip", score: "score", threshold: "threshold", model: "model", heard: "Heard", file: "File",
    length: "Length",
  },
  fr: {
    subject: (name) => `Vrai défaut ou fausse alerte ? ${name}`,
    subjectCalm: (name) => `Ce son est-il normal ? ${name}`,
    remind: (subject) => `Rappel : ${subject}`,
    escalate: (subject) => `Toujours sans réponse : ${subject}`,
    why: {
      alarm: "Une alarme : écoutez et dites ce que c'est.",
      uncertain: "Le système hésite sur ce son. C'est ici que votre réponse lui apprend le plus.",
      audit: "Un contrôle de routine, tiré au hasard, d'un son que le système croit normal : seul moyen de savoir ce qu'il manque.",
      manual: "Quelqu'un demande votre avis sur ce son.",
    },
    reminder: "Cette question a déjà été posée et reste ouverte.",
    escalation: (name) => `Cette question a été envoyée à ${name} et reste ouverte. Vous êtes la deuxième adresse.`,
    what: "Ce qui a été entendu", sure: "Avec quelle certitude", why_title: "Pourquoi", next: "Que faire",
    likely: "Causes fréquentes", contact: "Contact", sensor: "À propos du microphone", question: "Votre réponse",
    real: "Vrai défaut", false: "Fausse alerte", unsure: "Pas sûr", form: "Répondre dans le formulaire",
    portal: "Ouvrir dans le portail", attached: "Le son est joint.", notAttached: "Écoutez le son dans le portail.",
    picture: "Spectrogramme : le temps de gauche à droite, la hauteur de bas en haut, clair veut dire fort",
    noSteps: "Aucune consigne n'est encore écrite pour cette machine (playbook).",
    once: "Ouvrir un lien ne répond à rien : la réponse compte quand vous appuyez sur Envoyer dans le formulaire.",
    noSeconds: "Tout l'enregistrement", score: "score", threshold: "seuil", model: "modèle",
    heard: "Entendu", file: "Fichier", length: "Durée",
  },
};
const NEWS = {
  en: {
    promoted: "A better model is in use", first: "A first model is in use", byHand: "Another model is in use", kept_champion: "The new model was not better: the old one stays",
    failed: "A retraining failed", drift: "The sounds have changed (drift)", rolled_back: "An earlier model is in use again",
    reason: "Why", detail: "What happened", model: "Model", previous: "Before", portal: "Open in the portal", job: "Job",
  },
  fr: {
    promoted: "Un meilleur modèle est en service", first: "Un premier modèle est en service",
    byHand: "Un autre modèle est en service", kept_champion: "Le nouveau modèle n'est pas meilleur : l'ancien reste",
    failed: "Un réentraînement a échoué", drift: "Les sons ont changé (dérive)",
    rolled_back: "Un modèle antérieur est de nouveau en service",
    reason: "Raison", detail: "Ce qui s'est passé", model: "Modèle", previous: "Avant", portal: "Ouvrir dans le portail",
    job: "Tâche",
  },
};

function html(text) {
  return String(text ?? "").replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);
}

function line(text) {
  return String(text ?? "").replace(/[\r\n\t]+/g, " ").trim();
}

// Only web links: a link is text from elsewhere.
function link(url) {
  return /^https?:\/\//i.test(url || "") ? url : "";
}

function withAnswer(url, answer) {
  if (!link(url)) return "";
  return `${url}${url.includes("?") ? "&" : "?"}answer=${encodeURIComponent(answer)}`;
}

function button(url, text, colour) {
  return `<a href="${html(url)}" style="display:block;margin:0 0 10px;padding:14px 16px;border-radius:8px;background:${colour};color:#ffffff;font-weight:bold;text-align:center;text-decoration:none">${html(text)}</a>`;
}

function heading(text) {
  return `<h2 style="margin:24px 0 6px;font-size:16px;line-height:1.3;color:#0b3d3a">${html(text)}</h2>`;
}

function list(items, ordered) {
  const tag = ordered ? "ol" : "ul";
  return `<${tag} style="margin:0;padding-left:22px">${items.map((i) => `<li style="margin:0 0 4px">${html(i)}</li>`).join("")}</${tag}>`;
}

function paragraph(text, style = "") {
  return `<p style="margin:0 0 8px;${style}">${html(text)}</p>`;
}

function page(language, id, title, body) {
  return `<!DOCTYPE html><html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="wheeltapper-message" content="${html(id)}"><title>${html(title)}</title></head><body style="margin:0;padding:0;background:#eef2f1"><div style="max-width:600px;margin:0 auto;padding:20px 16px;background:#ffffff;font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5;color:#1c2b2a">${body}</div></body></html>`;
}

// kind: ask, remind, escalate. pictures: whether a spectrogram (cid:spectrogram) and the clip go with it.
function question(facts, kind, summary, pictures) {
  const language = languageOf(facts);
  const t = TEXTS[language];
  const name = line(machineName(facts));
  const said = sentences(facts);
  const of = (...kinds) => said.filter((s) => kinds.includes(s.kind)).map((s) => s.text);
  const id = `${kind}-${facts.question_id}`;
  const plainSubject = (facts.anomaly ? t.subject : t.subjectCalm)(name);
  const subject = kind === "ask" ? plainSubject : t[kind](plainSubject);
  const to = kind === "escalate" && facts.escalation ? facts.escalation : facts.recipient;
  const playbook = facts.playbook || {};
  const steps = (playbook.steps || []).filter(Boolean);
  const likely = (playbook.likely || []).filter(Boolean);
  const sensor = (facts.sensor || []).map((s) => s.message).filter(Boolean);
  const opening = {
    ask: t.why[facts.reason] || t.why.manual,
    remind: t.reminder,
    escalate: t.escalation(line((facts.recipient || {}).name || (facts.recipient || {}).email)),
  }[kind];
  const why = of("seconds", "band", "nearest");
  const answers = [[t.real, "#a3261a"], [t.false, "#0b6b57"], [t.unsure, "#4a5a5a"]].map(([label, colour]) => ({
    label, colour, url: withAnswer(facts.form_url, label),
  }));
  const about = [
    `${t.heard}: ${moment(facts.local_time, language) || moment(facts.created, language)}`,
    facts.filename ? `${t.file}: ${line(facts.filename)}` : "",
    facts.duration_s ? `${t.length}: ${figure(facts.duration_s, 1, language)} s` : "",
    `${t.score} ${scored(facts.score, language)}, ${t.threshold} ${scored(facts.threshold, language)}`,
    `${t.model} ${line(facts.model_version)}`,
  ].filter(Boolean);

  const body = [
    `<h1 style="margin:0 0 8px;font-size:20px;line-height:1.3">${html(subject)}</h1>`,
    paragraph(opening, "color:#4a5a5a"),
    heading(t.what), paragraph(summary),
    pictures.spectrogram ? `<img src="cid:spectrogram" alt="${html(t.picture)}" width="568" style="display:block;width:100%;max-width:568px;height:auto;border-radius:8px;margin:8px 0">` : "",
    paragraph(pictures.clip ? t.attached : t.notAttached, "color:#4a5a5a;font-size:14px"),
    of("sure").length ? heading(t.sure) + of("sure", "episode").map((s) => paragraph(s)).join("") : "",
    why.length ? heading(t.why_title) + list(why) : "",
    sensor.length ? heading(t.sensor) + list(sensor) : "",
    heading(t.next), steps.length ? list(steps, true) : paragraph(t.noSteps),
    likely.length ? paragraph(`${t.likely}: ${likely.join("; ")}`, "margin-top:8px;color:#4a5a5a") : "",
    playbook.contact ? paragraph(`${t.contact}: ${line(playbook.contact)}`, "color:#4a5a5a") : "",
    heading(t.question),
    answers.map((a) => (a.url ? button(a.url, a.label, a.colour) : "")).join(""),
    paragraph(t.once, "color:#4a5a5a;font-size:14px"),
    link(facts.portal_url) ? `<p style="margin:16px 0 8px"><a href="${html(facts.portal_url)}" style="color:#0b6b57">${html(t.portal)}</a></p>` : "",
    `<p style="margin:16px 0 0;padding-top:12px;border-top:1px solid #d7e0de;color:#5d6b6a;font-size:13px">${about.map(html).join("<br>")}</p>`,
  ].join("");

  const text = [
    subject, "", opening, "", t.what.toUpperCase(), summary, pictures.clip ? t.attached : t.notAttached,
    ...(of("sure").length ? ["", t.sure.toUpperCase(), ...of("sure", "episode")] : []),
    ...(why.length ? ["", t.why_title.toUpperCase(), ...why.map((w) => `- ${w}`)] : []),
    ...(sensor.length ? ["", t.sensor.toUpperCase(), ...sensor.map((s) => `- ${s}`)] : []),
    "", t.next.toUpperCase(), ...(steps.length ? steps.map((s, i) => `${i + 1}. ${s}`) : [t.noSteps]),
    ...(likely.length ? [`${t.likely}: ${likely.join("; ")}`] : []),
    ...(playbook.contact ? [`${t.contact}: ${line(playbook.contact)}`] : []),
    "", t.question.toUpperCase(), ...answers.filter((a) => a.url).map((a) => `${a.label}: ${a.url}`), t.once,
    ...(link(facts.portal_url) ? ["", `${t.portal}: ${facts.portal_url}`] : []),
    "", ...about,
  ].join("\n");
  return { id, to: line((to || {}).email), subject, html: page(language, id, subject, body), text };
}

function scored(value, language) {
  return value === null || value === undefined ? "?" : figure(value, 2, language);
}

// News about the model, for the person in charge of it.
function news(told) {
  const language = told.language === "fr" ? "fr" : "en";
  const t = NEWS[language];
  // Only a retrain has measured that the new model is better.
  const switched = !told.previous ? "first" : told.job_id ? "promoted" : "byHand";
  const title = t[told.event === "promoted" ? switched : told.event] || line(told.event);
  // serve's name of this message: what is told alike twice (a model put back twice) is two messages.
  const id = `news-${line(told.message_id) || [told.event, told.job_id, told.model_version, told.previous].map((v) => line(v) || "0").join("-")}`;
  const rows = [[t.reason, told.reason], [t.detail, told.detail], [t.model, told.model_version], [t.previous, told.previous], [t.job, told.job_id]]
    .filter(([, value]) => value !== null && value !== undefined && line(value) !== "");
  const body = [
    `<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3">${html(title)}</h1>`,
    ...rows.map(([label, value]) => paragraph(`${label}: ${line(value)}`)),
    link(told.portal_url) ? button(told.portal_url, t.portal, "#0b6b57") : "",
  ].join("");
  const text = [title, "", ...rows.map(([label, value]) => `${label}: ${line(value)}`), ...(link(told.portal_url) ? ["", `${t.portal}: ${told.portal_url}`] : [])].join("\n");
  return { id, to: line((told.recipient || {}).email), subject: `Wheeltapper: ${title}`, html: page(language, id, title, body), text };
}
