"use strict";
// n8n's external hooks: two things that workflows cannot do for themselves. Loaded by EXTERNAL_HOOK_FILES.
//
// 1. An answer whose run did not come to its end is submitted again. n8n keeps what a form was sent before it answers the
//    browser, but a run that it was killed in, or that failed, it marks and leaves. After each start the runs that were
//    cut off, and every 20 s those that failed since, are sent through the form anew; serve takes the same answer twice as
//    one.
// 2. The same message has the same Message-ID each time, so that one sent twice (n8n killed between the mail server's
//    "250" and telling serve) is shown once by mail programs and by the local inbox.

const crypto = require("node:crypto");
const http = require("node:http");
const path = require("node:path");

const ANSWER = "wheeltapperAnsw1";
const FORMS = { Form: "wheeltapper-answer", Formulaire: "wheeltapper-reponse" };
const FIELDS = ["machine", "answer", "fault", "comment", "operator", "question_id", "prediction_id", "token"];
const RADIO = "answer";
const FAILED = ["crashed", "error"];
// At the start nothing of this process is under way yet: what claims to be was cut off.
const CUT_OFF = [...FAILED, "running", "new", "unknown"];
const LOOK_EVERY_MS = 20000;
const TRIES = 30; // a second apart: the form opens a moment after n8n is ready

const ofN8n = (name) => require(require.resolve(name, { paths: [path.dirname(process.argv[1]), process.cwd()] }));

function messageId(html) {
  const marked = /<meta name="wheeltapper-message" content="([^"]+)">/.exec(html || "");
  return marked ? `<${crypto.createHash("sha256").update(marked[1]).digest("hex").slice(0, 32)}@wheeltapper>` : null;
}

function markMessages() {
  const nodemailer = require(
    require.resolve("nodemailer", { paths: [path.dirname(require.resolve("n8n-nodes-base/package.json", { paths: [path.dirname(process.argv[1])] }))] }),
  );
  const create = nodemailer.createTransport;
  nodemailer.createTransport = (...options) => {
    const transport = create.apply(nodemailer, options);
    transport.use("compile", (mail, done) => {
      const id = messageId(mail.data.html);
      if (id) mail.data.messageId = id;
      done();
    });
    return transport;
  };
}

// What the form was sent, out of a run's kept data: what the form's node gave, or what it was to begin with. Of a run that
// n8n was killed in, the node gave nothing that was kept: where n8n's log says that the node had ended, n8n's recovery puts
// an item of its own in the place ("isArtificialRecoveredEventItem"), which is no answer.
function submitted(data) {
  const stack = data?.executionData?.nodeExecutionStack ?? [];
  for (const [trigger, form] of Object.entries(FORMS)) {
    const given = data?.resultData?.runData?.[trigger]?.[0]?.data?.main?.[0]?.[0]?.json;
    const begun = stack.find((entry) => entry.node?.name === trigger)?.data?.main?.[0]?.[0]?.json;
    const json = [given, begun].find((item) => item && !item.isArtificialRecoveredEventItem);
    if (json) return { form, json };
  }
  return null;
}

function submit({ form, json }) {
  const boundary = `wheeltapper${crypto.randomBytes(12).toString("hex")}`;
  const parts = FIELDS.map((name, i) => {
    const value = name === RADIO ? JSON.stringify([json[name] ?? ""]) : String(json[name] ?? "");
    return `--${boundary}\r\nContent-Disposition: form-data; name="field-${i}"\r\n\r\n${value}\r\n`;
  });
  const body = Buffer.from(`${parts.join("")}--${boundary}--\r\n`);
  const host = process.env.N8N_LISTEN_ADDRESS || "127.0.0.1";
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: { "0.0.0.0": "127.0.0.1", "::": "::1" }[host] ?? host,
        port: Number(process.env.N8N_PORT || 5678),
        path: `/form/${form}`,
        method: "POST",
        headers: { "Content-Type": `multipart/form-data; boundary=${boundary}`, "Content-Length": body.length },
        timeout: 15000,
      },
      (answer) => {
        answer.resume();
        answer.on("end", () => (answer.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${answer.statusCode}`))));
      },
    );
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer")));
    request.end(body);
  });
}

// n8n's own stores of runs, and how to ask them.
function stores() {
  const { Container } = ofN8n("@n8n/di");
  const { ExecutionRepository } = ofN8n("@n8n/db");
  const { In, LessThanOrEqual } = ofN8n("@n8n/typeorm");
  const { ExecutionPersistence } = require(path.join(path.dirname(process.argv[1]), "..", "dist", "executions", "execution-persistence.js"));
  return { executions: Container.get(ExecutionRepository), kept: Container.get(ExecutionPersistence), In, LessThanOrEqual };
}

// Submits again what did not come to its end; `newest`: only runs up to that id, which this process did not begin.
async function resubmit(log, statuses, newest) {
  const { executions, kept, In, LessThanOrEqual } = stores();
  const where = { workflowId: ANSWER, status: In(statuses), ...(newest ? { id: LessThanOrEqual(newest) } : {}) };
  const left = await executions.find({ select: ["id"], where, order: { id: "ASC" } });
  for (const { id } of left) {
    const run = await kept.findSingleExecution(id, { includeData: true, unflattenData: true });
    const found = run && run.data && submitted(run.data);
    for (let attempt = 1; found; attempt += 1) {
      try {
        await submit(found);
        log(`answer of run ${id}, which had not come to its end, submitted again`);
        break;
      } catch (error) {
        if (attempt === TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    if (!found) log(`run ${id} did not come to its end and holds no answer`);
    await executions.update({ id }, { status: "canceled" }); // handled: nobody looks at it again
  }
}

async function watch(log) {
  let newest = null; // the last run that was begun before this start
  let cutOff = true; // until a look has come to its end, the kill before this start may have left something
  const look = async () => {
    try {
      if (newest === null) {
        const [run] = await stores().executions.find({ select: ["id"], order: { id: "DESC" }, take: 1 });
        newest = run ? run.id : "0";
      }
      if (cutOff) await resubmit(log, CUT_OFF, newest);
      cutOff = false;
      await resubmit(log, FAILED);
    } catch (error) {
      log(`answers could not be submitted again, which is tried again in ${LOOK_EVERY_MS / 1000} s: ${error.stack}`);
    }
    setTimeout(look, LOOK_EVERY_MS).unref();
  };
  await look();
}

// At once, not when n8n is ready: its webhooks are open a moment before that, and serve is waiting for them.
// (Read by something else than n8n's program, as the tests do, there is no mailer to mark.)
if (path.basename(process.argv[1] || "") === "n8n") markMessages();

module.exports = {
  n8n: {
    ready: [
      async function () {
        watch((text) => console.log(`[wheeltapper] ${text}`));
      },
    ],
  },
};
