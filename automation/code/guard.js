// The guard: lets a text of a language model through only when it states nothing that the facts do not hold.
// Pure: `guard(text, facts)` → { ok, reasons[] }. Needs facts.js.
//
// Refused: a number (digits, words, English or French) with a unit that the facts do not give it; a machine or part that
// they do not name; a name; an instruction (what to do comes from the playbook alone); a verdict turned round; links,
// markup, other alphabets; a text too short, too long or not about this machine. When in doubt it refuses: the template
// then writes, which is always right.

const NUMBER_WORDS = {
  zero: 0, one: 1, single: 1, once: 1, two: 2, twice: 2, double: 2, doubled: 2, couple: 2, pair: 2, three: 3, thrice: 3,
  triple: 3, tripled: 3, four: 4, quadruple: 4, five: 5, six: 6, seven: 7, eight: 8, nine: 9, ten: 10, eleven: 11,
  twelve: 12, dozen: 12, dozens: 12, thirteen: 13, fourteen: 14, fifteen: 15, sixteen: 16, seventeen: 17, eighteen: 18,
  nineteen: 19, twenty: 20, thirty: 30, forty: 40, fourty: 40, fifty: 50, sixty: 60, seventy: 70, eighty: 80, ninety: 90,
  hundred: 100, hundreds: 100, thousand: 1000, thousands: 1000, million: 1e6, millions: 1e6, billion: 1e9, half: 0.5,
  halves: 0.5, halved: 0.5, quarter: 0.25, quarters: 0.25, third: 1 / 3, thirds: 1 / 3, fourth: 4, fifth: 5, sixth: 6,
  seventh: 7, eighth: 8, ninth: 9, tenth: 10, tenths: 10, hundredth: 100, thousandth: 1000, doubling: 2, tripling: 3,
  deux: 2, trois: 3, quatre: 4, cinq: 5, sept: 7, huit: 8, neuf: 9, dix: 10, onze: 11, douze: 12, treize: 13,
  quatorze: 14, quinze: 15, seize: 16, vingt: 20, vingts: 20, trente: 30, quarante: 40, cinquante: 50, soixante: 60,
  septante: 70, huitante: 80, octante: 80, nonante: 90, cent: 100, cents: 100, mille: 1000, millier: 1000, milliers: 1000,
  millions_fr: 1e6, milliard: 1e9, milliards: 1e9, douzaine: 12, dizaine: 10, dizaines: 10, vingtaine: 20, trentaine: 30,
  quinzaine: 15, cinquantaine: 50, centaine: 100, centaines: 100, moitie: 0.5, demi: 0.5, demie: 0.5, quart: 0.25,
  tiers: 1 / 3, doublee: 2, doubler: 2, doublent: 2, triplee: 3, tripler: 3, premier: 1, premiere: 1, deuxieme: 2,
  troisieme: 3, quatrieme: 4, cinquieme: 5, sixieme: 6, septieme: 7, huitieme: 8, neuvieme: 9, dixieme: 10, centieme: 100,
  millieme: 1000,
};
const UNITS = {
  s: "s", sec: "s", secs: "s", second: "s", seconds: "s", seconde: "s", secondes: "s", ms: "ms", millisecond: "ms",
  milliseconds: "ms", milliseconde: "ms", millisecondes: "ms", min: "min", minute: "min", minutes: "min", h: "h",
  hour: "h", hours: "h", heure: "h", heures: "h", day: "day", days: "day", jour: "day", jours: "day", week: "week",
  weeks: "week", semaine: "week", semaines: "week", month: "month", months: "month", mois: "month", year: "year",
  years: "year", an: "year", ans: "year", annee: "year", annees: "year", hz: "hz", hertz: "hz", khz: "khz",
  kilohertz: "khz", db: "db", decibel: "db", decibels: "db", percent: "%", "%": "%", rpm: "rpm", degree: "degree",
  degrees: "degree", degre: "degree", degres: "degree", bar: "bar", bars: "bar", volt: "volt", volts: "volt",
  watt: "watt", watts: "watt", metre: "m", metres: "m", meter: "m", meters: "m", time: "time", times: "time",
  fois: "time", alarm: "alarm", alarms: "alarm", alarme: "alarm", alarmes: "alarm", clip: "clip", clips: "clip",
  recording: "clip", recordings: "clip", enregistrement: "clip", enregistrements: "clip", healthy: "clip", sain: "clip",
  sains: "clip", normal: "clip", normaux: "clip", of: "of", in: "of", out: "of", sur: "of",
};
const BETWEEN = new Set(["to", "and", "a", "et", "until", "jusqu", "through"]);
const ARTICLES = new Set(["a", "an", "un", "une"]);
const COUNTED = new Set(["s", "ms", "min", "h", "day", "week", "month", "year", "hz", "khz", "db", "rpm", "degree"]);
const MACHINES = words(`fan pump valve slider gearbox bearing motor engine compressor conveyor turbine generator blower
  drill lathe mill press robot crane belt chain shaft gear gears wheel blade blades impeller rotor stator piston cylinder
  spindle coupling clutch brake hose pipe tank boiler burner furnace oven mixer pulley actuator solenoid seal gasket
  transformer inverter propeller drone car truck train elevator escalator chiller heater filter nozzle damper spring
  screw bolt nut rail carriage cutter saw grinder welder washer dryer refrigerator printer
  ventilateur pompe vanne soupape glissiere chariot reducteur engrenage roulement moteur compresseur convoyeur turbine
  generateur soufflerie perceuse tour fraiseuse presse robot grue courroie chaine arbre roue pale pales helice rotor
  piston cylindre broche accouplement embrayage frein tuyau reservoir chaudiere bruleur four melangeur poulie actionneur
  joint transformateur onduleur voiture camion ascenseur refroidisseur chauffage filtre buse ressort vis boulon ecrou
  palier electrovanne tapis`);
const SAME_MACHINE = {
  fan: "ventilateur", pump: "pompe", valve: "vanne soupape", slider: "glissiere chariot", gearbox: "reducteur engrenage",
  bearing: "roulement palier", propeller: "helice",
};
const INSTRUCTIONS = words(`stop shut shutdown switch turn replace repair fix lubricate grease oil tighten clean inspect
  call phone contact order install remove restart reboot evacuate adjust reset ignore dismantle disconnect unplug
  schedule ensure should must need needs required recommend recommended recommends immediately urgent urgently danger
  dangerous safe unsafe
  arretez arreter coupez couper eteignez eteindre remplacez remplacer reparez reparer lubrifiez lubrifier graissez
  graisser huilez serrez serrer resserrez nettoyez nettoyer inspectez inspecter appelez appeler contactez contacter
  commandez commander installez installer retirez retirer redemarrez redemarrer evacuez evacuer ajustez ajuster
  reinitialisez ignorez ignorer demontez demonter debranchez debrancher planifiez faut doit devez devrait immediatement
  urgence urgent danger dangereux dangereuse recommande recommandons`);
const NAMES = words(`john james robert michael william david richard joseph thomas charles daniel matthew anthony mark paul
  steven andrew kevin brian george edward peter alice bob carol anna anne mary patricia jennifer linda elizabeth susan
  jessica sarah karen nancy lisa betty emily emma olivia sophie sophia jean pierre michel andre philippe alain jacques
  bernard marcel francois louis nicolas julien antoine marie nathalie isabelle sylvie catherine francoise martine
  christine claire camille lea manon chloe lucas hugo leo gabriel arthur mohamed ahmed fatima ali omar yusuf smith jones
  brown taylor miller dupont durand martin bernard dubois lefebvre muller schmidt schneider siemens bosch abb skf
  schneider fanuc mitsubishi hitachi toshiba grundfos caterpillar google microsoft openai paris london lyon berlin tokyo
  marseille chicago boston dallas texas france germany japan china`);
// Words that may begin a sentence although no fact holds them.
const STARTERS = words(`a about after all also an and another as at because before between but compared during each for
  from further heard here however if in it its listen listening most no not of on only other our overall please sound
  sounds the their there these they this those to unusual usually what when where which while with within you your
  recording recordings clip clips machine abnormal normal noise louder quieter more less
  apres au aussi avec avant autre aucun c ca ce cela ces cet cette comme d dans de depuis des du elle en entre environ
  et il ils l la le les leur mais moins ne non nous on ou par pendant plus pour quand que seul seulement si son sons sur
  tous tout un une vers voici vous ecoutez bruit enregistrement anormal notre`);

function words(text) {
  return new Set(text.split(/\s+/).filter(Boolean));
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

// Everything that the facts say, as text.
function factsText(facts) {
  const playbook = facts.playbook || {};
  return [
    machineName(facts), facts.machine, facts.machine_name, facts.filename, moment(facts.local_time, languageOf(facts)),
    ...sentences(facts).map((s) => s.text),
    ...(facts.sensor || []).map((s) => s.message),
    ...(playbook.likely || []), ...(playbook.steps || []), playbook.contact,
    ...(facts.nearest || []).map((n) => `${n.title || ""} ${n.machine || ""}`),
    facts.recipient && facts.recipient.name,
  ].filter(Boolean).join(" . ");
}

// Tokens: numbers (value, text) and words (plain form, as written, whether it begins a sentence).
function tokens(text) {
  const found = [];
  let begins = true;
  // A minus belongs to its number, a dash between two numbers does not.
  const pattern = /(?:(?<![\p{L}\d])[−-])?\d+(?:[.,\u00a0\u202f]\d+)*|\p{L}+|[%.!?:;,()/°"«»–—-]/gu;
  for (const match of text.matchAll(pattern)) {
    const piece = match[0];
    if (/\d/.test(piece)) {
      found.push({ number: numberOf(piece), text: piece });
      begins = false;
    } else if (/^[\p{L}%]/u.test(piece)) {
      found.push({ word: plain(piece), text: piece, begins });
      begins = false;
    } else if (/[.!?:;]/.test(piece)) {
      begins = true;
    }
  }
  return found;
}

function numberOf(text) {
  const dense = text.replace(/[\u00a0\u202f]/g, "").replace("−", "-");
  const thousands = /^-?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/.test(dense);
  return Number(thousands ? dense.replace(/,/g, "") : dense.replace(",", "."));
}

// Each number with its unit: "3.2 kHz" → "3.2 khz"; "between 2 and 3 s" → both in seconds.
function figures(list) {
  const found = [];
  list.forEach((token, i) => {
    let value = token.number;
    if (value === undefined) {
      const previous = list[i - 1] && list[i - 1].word;
      const percent = token.word === "cent" && (previous === "per" || previous === "pour");
      if (percent || !(token.word in NUMBER_WORDS)) return;
      value = NUMBER_WORDS[token.word];
    }
    found.push({ key: `${value} ${unitAfter(list, i + 1)}`, text: token.text });
  });
  return found;
}

function unitAfter(list, at) {
  const next = list[at];
  if (!next) return "";
  if (next.number !== undefined) return "number";
  const after = list[at + 1];
  if ((next.word === "per" || next.word === "pour") && after && after.word === "cent") return "%";
  if (BETWEEN.has(next.word) && after && (after.number !== undefined || after.word in NUMBER_WORDS)) {
    return unitAfter(list, at + 2);
  }
  if (UNITS[next.word]) {
    // "10.0 s to 12.0 s", "2 kHz": a unit. Anything else is named as it is written.
    return UNITS[next.word];
  }
  return next.word;
}

function guard(text, facts) {
  const reasons = [];
  const refuse = (reason) => reasons.push(reason);
  const given = factsText(facts);
  const trimmed = (text || "").trim();
  if (trimmed.length < 40) refuse("too short");
  if (trimmed.length > 700) refuse("too long");
  if (trimmed && !/[.!?»"]$/.test(trimmed)) refuse("unfinished sentence");
  if (/https?:|www\.|@|[<>[\]{}|`#*_=\\~^]/.test(withoutNames(trimmed, facts))) refuse("link or markup");
  if (/\n\s*\n|\n\s*[-•]/.test(trimmed)) refuse("list");
  const odd = trimmed.match(/[^\p{Script=Latin}\p{Nd}\s.,;:!?'’"«»()%°+\-−–—/_&]/u);
  if (odd) refuse(`character ${odd[0]}`);
  if (/\p{Nd}/u.test(trimmed.replace(/[0-9]/g, ""))) refuse("digits of another script");

  const names = [machineName(facts), facts.machine, facts.machine_name, (facts.playbook || {}).machine_name].filter(Boolean);
  const said = plain(trimmed);
  if (!names.some((name) => said.includes(plain(name)))) refuse("not about this machine");

  const rest = tokens(withoutNames(trimmed, facts));
  const facts_ = tokens(given);
  const known = new Set(facts_.filter((t) => t.word).map((t) => t.word));
  const allowed = new Set(figures(tokens(withoutNames(given, facts))).map((f) => f.key));
  const rare = rarity(facts.p_value);
  if (rare) for (const key of [`${rare.n} of`, `${rare.n} clip`, `${rare.of} clip`]) allowed.add(key);
  if (facts.episode && facts.episode.count > 1) allowed.add(`${facts.episode.count} alarm`);
  for (const found of figures(rest)) if (!allowed.has(found.key)) refuse(`number ${found.text} (${found.key})`);

  const kind = plain((facts.machine || "").split("/")[0]);
  const same = words(SAME_MACHINE[kind] || "");
  rest.forEach((token, i) => {
    if (!token.word) return;
    const { word } = token;
    const next = rest[i + 1] && rest[i + 1].word;
    if (ARTICLES.has(word) && next && COUNTED.has(UNITS[next])) refuse(`number ${token.text} ${rest[i + 1].text}`);
    if (gluedNumber(word)) refuse(`number ${token.text}`);
    if (/^[IVXLCDM]{2,}$/.test(token.text)) refuse(`number ${token.text}`);
    if (known.has(word)) return;
    const stem = word.replace(/s$/, "");
    if ((MACHINES.has(word) || MACHINES.has(stem)) && word !== kind && stem !== kind && !same.has(stem) && !known.has(stem)) {
      refuse(`machine ${token.text}`);
    }
    if (NAMES.has(word)) refuse(`name ${token.text}`);
    if (INSTRUCTIONS.has(word)) refuse(`instruction ${token.text}`);
    const capital = /\p{Lu}/u.test(token.text) && !UNITS[word];
    if (capital && !(token.begins && (STARTERS.has(word) || stem === kind))) refuse(`name ${token.text}`);
  });
  if (turnedRound(said, facts)) refuse("verdict turned round");
  if (otherDirection(withoutNames(trimmed, facts), facts)) refuse("more and less exchanged");
  return { ok: reasons.length === 0, reasons };
}

// The text without the names that it may use as they are; what is left of "id_04" is a number. Whole words alone, and no
// name that is nothing but digits: of a machine called "1", "11 Hz" would be taken for its name.
function withoutNames(text, facts) {
  const names = [
    machineName(facts), facts.machine, facts.machine_name, (facts.playbook || {}).machine_name, facts.filename,
    ...(facts.nearest || []).flatMap((n) => [n.title, n.machine]),
  ].filter((name) => /\p{L}/u.test(name || "")).sort((a, b) => b.length - a.length);
  let rest = text;
  for (const name of names) {
    const plainly = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    rest = rest.replace(new RegExp(`(?<![\\p{L}\\d])${plainly}(?![\\p{L}\\d])`, "giu"), " it ");
  }
  return rest;
}

// "twentyfive", "threefold", "quatrevingt", "vingt-et-un" without its hyphens.
function gluedNumber(word) {
  const parts = Object.keys(NUMBER_WORDS).filter((w) => w.length > 2).join("|");
  return new RegExp(`^(?:(?:${parts})(?:et|and)?){1,}(?:fold|ieme|un|une|teen|ty)$|^(?:(?:${parts})(?:et|and)?){2,}$`).test(word);
}

// Louder where the facts say quieter, or the other way about.
function otherDirection(text, facts) {
  const directions = new Set(facts.anomaly ? (facts.bands || []).slice(0, 2).map((band) => band.direction) : []);
  const said = plain(text);
  const more = /\b(?:more|louder|stronger|higher|increased?|plus (?:de|fort)|augmente)\b/.test(said);
  const less = /\b(?:less|quieter|weaker|lower|decreased?|moins (?:de|fort)|diminue|baisse)\b/.test(said);
  return (more && !directions.has("more")) || (less && !directions.has("less"));
}

function turnedRound(said, facts) {
  const calm = /\b(?:is|was|sounds?|sounded|seems?|looks?|appears?|remains?|est|semble|parait|reste) (?:\w+ )?(?:normal|normale|healthy|fine|ok|okay|sain|saine)\b|\b(?:no|without|aucun|sans) (?:\w+ )?(?:fault|anomaly|problem|defaut|anomalie|probleme)\b|\bnothing (?:unusual|wrong|abnormal)|\bnot (?:\w+ )?(?:abnormal|unusual)|\bpas (?:anormal|inhabituel)|\brien d.anormal/;
  const alarmed = /\b(?:abnormal|unusual|faulty|broken|anomaly|anormal|anormale|inhabituel|inhabituelle|defectueux|anomalie)\b/;
  if (facts.anomaly) return calm.test(said) || !/\b(?:abnormal|unusual|unusually|odd|strange|anomaly|different|anormal|anormale|inhabituel|inhabituelle|etranges?|anomalie|different|differente)\b/.test(said);
  return alarmed.test(said);
}
