// Masks listed words in messages, or denies the message. The config is
// {"words": ["darn"], "action": "mask" or "deny"}.
import { Event, Verdict, ask, config, init, items, manifest, text } from "moot";
export { moot_abi_1, moot_alloc, moot_reason } from "moot";

export function moot_manifest(): u64 {
  return manifest('{"name":"blocklist","version":"1.0.0","reads":["message"],"pure":true,' +
    '"config":{"type":"object","properties":{"words":{"type":"array","items":{"type":"string"}},' +
    '"action":{"enum":["mask","deny"],"default":"mask"}}}}');
}

const words = new Set<string>();
let deny = false;

/** A word is a run of letters, digits and characters beyond ASCII. */
function inWord(c: i32): bool {
  return c >= 48 && c <= 57 || c >= 65 && c <= 90 || c >= 97 && c <= 122 || c > 127;
}

/** Returns s with the letters of ASCII in lower case. */
function small(s: string): string {
  const units = new Uint16Array(s.length);
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    units[i] = <u16>(c >= 65 && c <= 90 ? c | 32 : c);
  }
  return String.UTF16.decode(units.buffer);
}

/** A star for each character; a surrogate pair is one character. */
function stars(word: string): string {
  let n = 0;
  for (let i = 0; i < word.length; i++) n += i32((word.charCodeAt(i) & 0xfc00) != 0xdc00);
  return "*".repeat(n);
}

export function moot_init(minor: u32, p: usize, n: usize): i32 {
  return init(p, n, (_: string): string | null => {
    const action = config("action");
    if (action.code == 0) {
      deny = action.value == '"deny"';
      if (!deny && action.value != '"mask"') return "action: " + action.value + " is neither mask nor deny";
    }
    const list = items(config("words").value);
    for (let i = 0; i < list.length; i++) {
      const word = text(list[i]);
      if (word === null || !isWord(word)) return "words: " + list[i] + " is not one word";
      words.add(small(word));
    }
    return null;
  });
}

function isWord(s: string): bool {
  for (let i = 0; i < s.length; i++) {
    if (!inWord(s.charCodeAt(i))) return false;
  }
  return s.length > 0;
}

/** Returns the text with a star for each character of a listed word. */
function mask(s: string): string {
  const parts: string[] = [];
  let done = 0, end = 0;
  for (let i = 0; i < s.length; i = end + 1) {
    for (end = i; end < s.length && inWord(s.charCodeAt(end));) end++;
    if (end == i) continue;
    const word = s.substring(i, end);
    if (!words.has(small(word))) continue;
    parts.push(s.substring(done, i));
    parts.push(stars(word));
    done = end;
  }
  if (done == 0) return s;
  parts.push(s.substring(done));
  return parts.join("");
}

export function on_say_receive(frame: usize): i32 {
  return ask(frame, (e: Event): Verdict => {
    const message = e.message, masked = mask(message);
    if (masked == message) return Verdict.allow();
    // JSON messages are not masked: a star in the wrong place would break them.
    if (deny || e.isJSON) return Verdict.deny("the message holds a blocked word");
    return Verdict.text(masked);
  });
}
