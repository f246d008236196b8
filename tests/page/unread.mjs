// Which fields of the config no part of the runtime reads: prints each.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [typescript, runtime] = process.argv.slice(2);
const ts = createRequire(import.meta.url)(typescript);
const models = join(runtime, "models.d.ts");
const files = readdirSync(runtime)
  .filter((name) => /\.(js|d\.ts)$/.test(name))
  .map((name) => join(runtime, name));
const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(runtime, "tsconfig.json"), ts.sys.readFile).config,
  ts.sys,
  runtime,
);

const service = ts.createLanguageService({
  getCompilationSettings: () => options,
  getScriptFileNames: () => files,
  getScriptVersion: () => "1",
  getScriptSnapshot: (name) =>
    ts.sys.fileExists(name) ? ts.ScriptSnapshot.fromString(readFileSync(name, "utf-8")) : undefined,
  getCurrentDirectory: () => runtime,
  getDefaultLibFileName: ts.getDefaultLibFilePath,
  fileExists: ts.sys.fileExists,
  readFile: ts.sys.readFile,
  directoryExists: ts.sys.directoryExists,
  getDirectories: ts.sys.getDirectories,
});

let fields = 0;
for (const statement of service.getProgram().getSourceFile(models).statements) {
  if (!ts.isInterfaceDeclaration(statement)) continue;
  for (const { name } of statement.members) {
    fields += 1;
    const uses = service.findReferences(models, name.getStart()).flatMap((each) => each.references);
    const read = uses.some(({ fileName }) => fileName.endsWith(".js"));
    if (!read) console.log(`${statement.name.text}.${name.text}`);
  }
}
if (fields < 20) console.error(`only ${fields} fields were found`);
