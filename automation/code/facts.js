// Facts about a question, as serve gives them, in the reader's words: every figure of a message is written here, once.
// Used by prompt.js, guard.js and message.js; pure.

const WORDS = {
  en: {
    anomaly: (name) => `${name} sounds abnormal.`,
    normal: (name) => `${name} sounds normal.`,
    rare: (n, of) => `About ${n} of ${of} healthy clips would sound at least this odd.`,
    never: (of) => `Fewer than 1 of ${of} healthy clips would sound this odd.`,
    seconds: (spans) => `It stands out ${spans}.`,
    span: (a, b) => `from ${a} s to ${b} s`,
    more: (low, high, db) => `There is more sound than usual between ${low} and ${high}${db}.`,
    less: (low, high, db) => `There is less sound than usual between ${low} and ${high}${db}.`,
    change: (db) => ` (${db} dB)`,
    nearestFault: (title) => `The most similar clip known is a confirmed fault: ${title}.`,
    nearestHealthy: (title) => `The most similar clip known is a healthy one: ${title}.`,
    nearestOpen: (title) => `The most similar clip known has not been judged: ${title}.`,
    episode: (n) => `This is one of ${n} alarms in a row; the answer is about this clip.`,
    and: " and ",
    months: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
  },
  fr: {
    anomaly: (name) => `${name} : son anormal.`,
    normal: (name) => `${name} : son normal.`,
    rare: (n, of) =>
      n === 1
        ? `Environ 1 enregistrement sain sur ${of} paraîtrait aussi étrange.`
        : `Environ ${n} enregistrements sains sur ${of} paraîtraient aussi étranges.`,
    never: (of) => `Moins de 1 enregistrement sain sur ${of} paraîtrait aussi étrange.`,
    seconds: (spans) => `Cela s'entend ${spans}.`,
    span: (a, b) => `de ${a} s à ${b} s`,
    more: (low, high, db) => `Il y a plus de son que d'habitude entre ${low} et ${high}${db}.`,
    less: (low, high, db) => `Il y a moins de son que d'habitude entre ${low} et ${high}${db}.`,
    change: (db) => ` (${db} dB)`,
    nearestFault: (title) => `Le son connu le plus proche est un défaut confirmé : ${title}.`,
    nearestHealthy: (title) => `Le son connu le plus proche est sain : ${title}.`,
    nearestOpen: (title) => `Le son connu le plus proche n'a pas encore été jugé : ${title}.`,
    episode: (n) => `C'est une de ${n} alarmes de suite ; la réponse porte sur cet enregistrement.`,
    and: " et ",
    months: ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."],
  },
};

function languageOf(facts) {
  return facts.language === "fr" ? "fr" : "en";
}

// A figure with a fixed number of decimals, in the reader's notation.
function figure(value, decimals, language) {
  const text = Number(value).toFixed(decimals);
  return language === "fr" ? text.replace(".", ",") : text;
}

function hertz(value, language) {
  return value >= 1000 ? `${figure(value / 1000, 1, language)} kHz` : `${figure(value, 0, language)} Hz`;
}

// The service's own time; where that is the world's, as in a container without TZ, it is said so.
function moment(text, language) {
  const parts = /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}).*?(Z|[+]00:00)?$/.exec(text || "");
  if (!parts) return text || "";
  const zone = parts[6] ? " UTC" : "";
  return `${Number(parts[3])} ${WORDS[language].months[Number(parts[2]) - 1]} ${parts[1]}, ${parts[4]}:${parts[5]}${zone}`;
}

// "fan/id_00" is for machines; people know "Fan 1 (fan/id_00)", from the playbook.
function machineName(facts) {
  const known = (facts.playbook && facts.playbook.machine_name) || facts.machine_name || "";
  const id = facts.machine || "";
  if (known && id && known !== id) return `${capital(known)} (${id})`;
  return capital(known || id) || (languageOf(facts) === "fr" ? "Une machine inconnue" : "An unknown machine");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// What the template says was heard; how sure and why have lines of their own in the message.
function plainSummary(facts) {
  const when = moment(facts.local_time || facts.created, languageOf(facts));
  const verdict = sentences(facts)[0].text;
  return when ? `${verdict.slice(0, -1)} (${when}).` : verdict;
}

// How many of how many healthy clips would be as odd: "2 of 100", "3 of 1000".
function rarity(p) {
  if (p === null || p === undefined || Number.isNaN(Number(p))) return null;
  for (const of of [100, 1000, 10000]) {
    const n = Math.round(p * of);
    if (n >= 1) return { n, of };
  }
  return { n: 0, of: 10000 };
}

// The sentences of a message, each with its kind; what is not known is not said.
function sentences(facts) {
  const language = languageOf(facts);
  const words = WORDS[language];
  const said = [];
  const say = (kind, text) => said.push({ kind, text });
  say("verdict", (facts.anomaly ? words.anomaly : words.normal)(machineName(facts)));
  const rare = rarity(facts.p_value);
  if (rare) say("sure", rare.n ? words.rare(rare.n, rare.of) : words.never(rare.of));
  // A stretch that is the whole clip says nothing.
  const whole = facts.duration_s ? 0.95 * facts.duration_s : Infinity;
  const spans = (facts.seconds || []).filter((s) => s.end_s - s.start_s < whole).slice(0, 2);
  if (spans.length && facts.anomaly) {
    const texts = spans.map((s) => words.span(figure(s.start_s, 1, language), figure(s.end_s, 1, language)));
    say("seconds", words.seconds(texts.join(words.and)));
  }
  for (const band of (facts.bands || []).slice(0, 2)) {
    if (!facts.anomaly) break;
    const known = band.change_db !== null && band.change_db !== undefined;
    const change = known ? words.change(signed(band.change_db, language)) : "";
    const line = band.direction === "less" ? words.less : words.more;
    say("band", line(hertz(band.low_hz, language), hertz(band.high_hz, language), change));
  }
  const near = (facts.nearest || [])[0];
  if (near) {
    const line = near.target === true ? words.nearestFault : near.target === false ? words.nearestHealthy : words.nearestOpen;
    say("nearest", line(near.title || near.id));
  }
  if (facts.episode && facts.episode.count > 1) say("episode", words.episode(facts.episode.count));
  return said;
}

function signed(value, language) {
  return `${value < 0 ? "−" : "+"}${figure(Math.abs(value), 1, language)}`;
}
