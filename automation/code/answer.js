// From a submitted form to what serve is told, and from serve's reply to what the page says. Pure.

const ANSWERS = {
  "Real fault": "anomaly", "False alarm": "normal", "Not sure": "unsure",
  "Vrai défaut": "anomaly", "Fausse alerte": "normal", "Pas sûr": "unsure",
};
const PAGES = {
  en: {
    recorded: ["Thank you, your answer is recorded", "You can close this page. The answer counts for training when it is Real fault or False alarm."],
    again: ["Your answer was recorded already", "The same answer was there before; nothing has changed."],
    stands: ["Another answer stands", "This sound was judged differently before, and that judgement stands. Tell the person in charge if it is wrong."],
    forbidden: ["This link is not valid", "It was altered or belongs to another installation. Please use the link in the e-mail. Nothing was recorded."],
    unknown: ["This sound is not known", "The service does not know the sound that this link asks about. Nothing was recorded."],
    unusable: ["This answer could not be read", "Please use the link in the e-mail and choose one of the three answers. Nothing was recorded."],
  },
  fr: {
    recorded: ["Merci, votre réponse est enregistrée", "Vous pouvez fermer cette page. La réponse sert à l'apprentissage si c'est Vrai défaut ou Fausse alerte."],
    again: ["Votre réponse était déjà enregistrée", "La même réponse existait déjà ; rien n'a changé."],
    stands: ["Une autre réponse est déjà là", "Ce son a été jugé autrement, et ce jugement reste. Dites-le au responsable si c'est une erreur."],
    forbidden: ["Ce lien n'est pas valable", "Il a été modifié ou vient d'une autre installation. Utilisez le lien de l'e-mail. Rien n'a été enregistré."],
    unknown: ["Ce son est inconnu", "Le service ne connaît pas le son de ce lien. Rien n'a été enregistré."],
    unusable: ["Cette réponse n'a pas pu être lue", "Utilisez le lien de l'e-mail et choisissez une des trois réponses. Rien n'a été enregistré."],
  },
};

// What POST /feedback is sent.
function feedback(form) {
  const text = (value, longest) => {
    const given = String(value ?? "").replace(/[\u0000-\u001f\u007f]+/g, " ").trim().slice(0, longest);
    return given === "" ? null : given;
  };
  return {
    prediction_id: text(form.prediction_id, 200) || "",
    question_id: text(form.question_id, 200),
    token: text(form.token, 200) || "",
    answer: ANSWERS[String(form.answer ?? "").trim()] || "unreadable",
    fault: text(form.fault, 200),
    comment: text(form.comment, 2000),
    operator: text(form.operator, 200),
    source: "email",
  };
}

// Whether serve's reply is final, and the page for it. Anything else is sent again.
function outcome(status, language) {
  const page = { 200: "again", 201: "recorded", 403: "forbidden", 404: "unknown", 409: "stands", 422: "unusable" }[status];
  if (!page) return { final: false, title: "", message: "" };
  const [title, message] = PAGES[language === "fr" ? "fr" : "en"][page];
  return { final: true, title, message };
}
