// Language is a Moot rule that translates known phrases for each receiver. See README.md. It shows the use of vary: the host
// calls it once for each locale in the room, and not once for each member.
moot.declare({ name: "language", version: "1.0.0", reads: ["message", "locale"], vary: ["locale"] });

const { phrases = {}, ...unknown } = moot.config;
for (const key of Object.keys(unknown)) throw new Error(`unknown setting ${key}: use phrases`);

// plain returns the form in which a phrase is looked up: lower case, without spaces and punctuation around it.
const plain = (text) => text.trim().toLowerCase().replace(/[\s.!?…]+$/u, "").replace(/\s+/g, " ");

// known holds the translations by language, for each phrase in each language.
const known = new Map();
for (const [id, translations] of Object.entries(phrases)) {
  if (typeof translations !== "object" || translations === null || Array.isArray(translations)) {
    throw new Error(`phrases.${id} must be an object of language: text`);
  }
  for (const [language, text] of Object.entries(translations)) {
    if (typeof text !== "string" || plain(text) === "") throw new Error(`phrases.${id}.${language} must be a string`);
    known.set(plain(text), { language: language.toLowerCase(), translations });
  }
}

// forLocale returns the translation for a tag such as de-AT: for de-AT, else for de.
function forLocale(translations, locale) {
  const wanted = locale.toLowerCase(), languages = Object.keys(translations);
  const language = languages.find((l) => l.toLowerCase() === wanted) ?? languages.find((l) => l.toLowerCase() === wanted.split("-")[0]);
  return language && { language, text: translations[language] };
}

moot.on("say", (event, receiver) => {
  if (typeof event.message !== "string" || !receiver?.locale) return;
  const phrase = known.get(plain(event.message));
  const translation = phrase && forLocale(phrase.translations, receiver.locale);
  if (!translation || plain(translation.text) === plain(event.message)) return;
  return moot.rewrite({ message: translation.text, extra: { original: event.message, language: translation.language } });
});
