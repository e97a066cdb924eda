/// <reference path="../../../../sdk/script/moot.d.ts" />
interface Deep { readonly n: number }

const commands: Record<string, (rest: string) => moot.Verdict | void> = {
  deny: (why: string) => moot.deny(why),
  config: () => moot.rewrite(String((moot.config.deep as unknown as Deep).n)),
  throw: (): void => {
    const nothing: Deep | undefined = undefined;
    moot.log((nothing as unknown as Deep).n);
  },
};

moot.on("onSayReceive", ({ message }) => {
  const [command = "", ...rest] = String(message).split(" ");
  return commands[command]?.(rest.join(" "));
});
