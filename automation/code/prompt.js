// What the language model is asked: two examples as turns of a chat, then the facts of this question. Needs facts.js.
//
// The model words the first lines of a message; how sure, why and what to do are listed below them in any case. A small
// model does best what it has just seen done, so the examples have the same kinds of facts as the question has.

const INSTRUCTION = {
  en: "You tell a machine operator what a listening system heard, in one or two short sentences. Use only the facts given: no other number, machine, name, cause or advice.",
  fr: "Vous dites à un opérateur ce qu'un système d'écoute a entendu, en une ou deux phrases courtes. N'utilisez que les faits donnés : aucun autre chiffre, machine, nom, cause ou conseil.",
};
const EXAMPLES = [
  {
    machine: "pump/id_06", name: { en: "The north pump", fr: "La pompe nord" }, p_value: 0.01, seconds: [{ start_s: 4, end_s: 6.5 }],
    more: { low_hz: 900, high_hz: 1400, direction: "more", change_db: 7.2 },
    less: { low_hz: 900, high_hz: 1400, direction: "less", change_db: -7.2 },
  },
  {
    machine: "valve/id_02", name: { en: "Valve A", fr: "Vanne A" }, p_value: 0.003, seconds: [{ start_s: 1, end_s: 1.6 }],
    more: { low_hz: 2000, high_hz: 3100, direction: "more", change_db: 4.5 },
    less: { low_hz: 2000, high_hz: 3100, direction: "less", change_db: -4.5 },
  },
];

// The facts that the model is given: what stands out, of each kind the strongest; where nothing does, how rare it is.
function told(facts) {
  const all = sentences(facts);
  const kinds = all.some((s) => s.kind === "seconds" || s.kind === "band") ? ["verdict", "seconds", "band"] : ["verdict", "sure"];
  return kinds.map((kind) => all.find((s) => s.kind === kind)).filter(Boolean);
}

// The same kinds of facts about another machine.
function alike(example, facts) {
  const language = languageOf(facts);
  const band = (facts.bands || [])[0];
  return {
    language, machine: example.machine, machine_name: example.name[language], anomaly: facts.anomaly,
    p_value: rarity(facts.p_value) ? example.p_value : null,
    seconds: sentences(facts).some((s) => s.kind === "seconds") ? example.seconds : [],
    bands: band ? [{ ...example[band.direction === "less" ? "less" : "more"], change_db: band.change_db === null ? null : example[band.direction === "less" ? "less" : "more"].change_db }] : [],
  };
}

// How a person would say it, in one breath.
function wordedWell(facts) {
  const language = languageOf(facts);
  const words = WORDS[language];
  const lines = Object.fromEntries(told(facts).map((s) => [s.kind, s.text]));
  const name = machineName(facts);
  const low = (text) => text.charAt(0).toLowerCase() + text.slice(1);
  if (!lines.seconds && !lines.band) return [lines.verdict, lines.sure].filter(Boolean).join(" ");
  const span = facts.seconds.length ? ` ${words.span(figure(facts.seconds[0].start_s, 1, language), figure(facts.seconds[0].end_s, 1, language))}` : "";
  const head = language === "fr" ? `${name} a un son anormal${span}` : `${name} has an abnormal sound${span}`;
  return lines.band ? `${head}${language === "fr" ? " : " : ": "}${low(lines.band)}` : `${head}.`;
}

// Messages for a chat-completions endpoint.
function prompt(facts) {
  const given = (of) => told(of).map((s) => s.text).join("\n");
  const turns = EXAMPLES.map((example) => alike(example, facts)).flatMap((of) => [
    { role: "user", content: given(of) },
    { role: "assistant", content: wordedWell(of) },
  ]);
  return [{ role: "system", content: INSTRUCTION[languageOf(facts)] }, ...turns, { role: "user", content: given(facts) }];
}

// The model's text, or null: the answer of the endpoint may be anything.
function writtenText(body) {
  const choice = body && Array.isArray(body.choices) ? body.choices[0] : null;
  const text = choice && choice.message ? choice.message.content : null;
  return typeof text === "string" && text.trim() ? text.trim() : null;
}
