// Welcome sends a greeting from the system to a client that joins a room, in the client's
// language if the config has it. See README.md.
import { Emit, Event, Level, Verdict, ask, count, emit, init, items, log, manifest, text } from "moot";
export { moot_abi_1, moot_alloc, moot_reason } from "moot";

export function moot_manifest(): u64 {
  return manifest('{"name":"welcome","version":"1.0.0","reads":["room","cause","id","user","locale"],"capabilities":["emit"],' +
    '"config":{"type":"object","additionalProperties":false,"properties":{' +
    '"text":{"type":"string","default":"Welcome to {room}, {user}!"},' +
    '"rooms":{"type":"object","additionalProperties":{"type":"string"},"description":"room: its text; \\"\\" = none"},' +
    '"languages":{"type":"object","additionalProperties":{"type":"string"},"description":"language tag: the text in it"}}}}');
}

let standard = "Welcome to {room}, {user}!";
const rooms = new Map<string, string>();
const languages = new Map<string, string>(); // by tag, in lower case

/** Fills a map from a JSON object of strings, or returns an error. */
function fill(map: Map<string, string>, name: string, json: string): string | null {
  if (!json.startsWith("{")) return name + ": " + json + " is not an object of strings";
  const list = items(json);
  for (let i = 0; i + 1 < list.length; i += 2) {
    const key = text(list[i])!, value = text(list[i + 1]);
    if (value === null) return name + "." + key + ": " + list[i + 1] + " is not a string";
    map.set(name == "languages" ? key.toLowerCase() : key, value);
  }
  return null;
}

function read(name: string, json: string): string | null {
  if (name == "rooms") return fill(rooms, name, json);
  if (name == "languages") return fill(languages, name, json);
  if (name != "text") return "unknown setting " + name + ": use text, rooms or languages";
  const value = text(json);
  if (value === null) return "text: " + json + " is not a string";
  standard = value;
  return null;
}

export function moot_init(minor: u32, p: usize, n: usize): i32 {
  return init(p, n, (config: string): string | null => {
    const list = items(config);
    for (let i = 0; i + 1 < list.length; i += 2) {
      const refused = read(text(list[i])!, list[i + 1]);
      if (refused !== null) return refused;
    }
    return null;
  });
}

/** Returns the text of the room; without one, the text of the language: of de-AT, else of de. */
function greeting(room: string, locale: string): string {
  if (rooms.has(room)) return rooms.get(room);
  const tag = locale.toLowerCase(), language = tag.split("-")[0];
  if (languages.has(tag)) return languages.get(tag);
  return languages.has(language) ? languages.get(language) : standard;
}

/** Fills in the template in one pass, so that a user named {room} is not replaced again. */
function filled(template: string, room: string, user: string, id: string): string {
  const parts: string[] = [];
  let done = 0;
  for (let i = template.indexOf("{"); i >= 0; i = template.indexOf("{", i + 1)) {
    const end = template.indexOf("}", i), name = end < 0 ? "" : template.substring(i + 1, end);
    if (name != "room" && name != "user" && name != "id") continue;
    parts.push(template.substring(done, i));
    parts.push(name == "room" ? room : name == "user" ? user : id);
    done = end + 1;
  }
  parts.push(template.substring(done));
  return parts.join("");
}

export function on_join(frame: usize): i32 {
  return ask(frame, (e: Event): Verdict => {
    const connection = e.connection, id = connection.id, room = e.room;
    if (e.cause == "rejoined") return Verdict.allow(); // the member was only cut off
    const template = greeting(room, connection.locale);
    if (template == "") return Verdict.allow();
    const user = connection.user;
    const code = emit(Emit.Text | Emit.ToConnection, id, filled(template, room, user == "" ? id : user, id));
    // An error of the greeting must not refuse the join.
    if (code < 0) log(Level.Warn, "not greeted: error " + code.toString());
    else count("greeted", 1);
    return Verdict.allow();
  });
}
