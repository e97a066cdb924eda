// {{.Name}} is a Moot module.
import { Event, Verdict, ask, config, init, manifest, text } from "moot";
export { moot_abi_1, moot_alloc, moot_reason } from "moot";

let mark: string = "!";

export function moot_manifest(): u64 {
  return manifest('{"name":"{{.Name}}","reads":["message"],' +
    '"config":{"type":"object","additionalProperties":false,"properties":{"mark":{"type":"string","default":"!"}}}}');
}

export function moot_init(minor: u32, p: usize, n: usize): i32 {
  return init(p, n, (_: string): string | null => {
    const value = config("mark");
    if (value.code < 0) return null;
    const given = text(value.value);
    if (given === null) return "mark: must be a text";
    mark = given;
    return null;
  });
}

export function on_say_receive(frame: usize): i32 {
  return ask(frame, (e: Event): Verdict => {
    const message = e.message;
    if (message.trim() == "") return Verdict.deny("say something");
    return Verdict.text(message + mark);
  });
}
