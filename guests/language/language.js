// Language is a Moot rule that translates known phrases for each receiver. See README.md. It shows the use of vary: the host
// calls it once for each locale in the room, and not once for each member.
moot.declare({
  name: "language", version: "1.0.0", reads: ["message", "locale"], vary: ["locale"],
  config: {
    type: "object", additionalProperties: false,
    properties: { phrases: { type: "object", additionalProperties: { type: "object", additionalProperties: { type: "string" } } } },
  },
});

const { phrases = {} } = moot.config;

// plain returns the form in which a phrase is looked up: lower case, without spaces and punctuation around it.
const plain = (text) => text.trim().toLowerCase().replace(/[\s.!?…]+$/u, "").replace(/\s+/g, " ");

// known holds the translations by language, for each phrase in each language.
const known = new Map();
for (const [id, translations] of Object.entries(phrases)) {
  for (const [language, text] of Object.entries(translations)) {
    if (plain(text) === "") throw new Error(`phrases.${id}.${language} has no letters`);
    known.set(plain(text), { language: language.toLowerCase(), translations });
  }
}

// forLocale returns the translation for a tag such as de-AT: for de-AT, else for de.
function forLocale(translations, locale) {
  const wanted = locale.toLowerCase(), languages = Object.keys(translations);
  const language = languages.find((l) => l.toLowerCase() === wanted) ?? languages.find((l) => l.toLowerCase() === wanted.split("-")[0]);
  return language && { language, text: translations[language] };
}

// translated returns a text in the language of a locale. In a JSON message it translates the strings, but not the names of members.
// It sets found.language if it has translated anything.
function translated(message, locale, found) {
  if (Array.isArray(message)) return message.map((item) => translated(item, locale, found));
  if (typeof message === "object" && message !== null) {
    return Object.fromEntries(Object.entries(message).map(([name, item]) => [name, translated(item, locale, found)]));
  }
  const phrase = typeof message === "string" ? known.get(plain(message)) : undefined;
  const translation = phrase && forLocale(phrase.translations, locale);
  if (!translation || plain(translation.text) === plain(message)) return message;
  found.language ??= translation.language;
  return translation.text;
}

moot.on("say", (event, receiver) => {
  if (!receiver?.locale) return;
  const original = event.message, found = {};
  const message = translated(original, receiver.locale, found);
  if (found.language) return moot.rewrite({ message, extra: { original, language: found.language } });
});
