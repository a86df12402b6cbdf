// The alerts of docs/kubernetes.md, read by Prometheus's own tool, and tried on the metrics that they speak of.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { parse, stringify } from 'yaml';
import { requires } from './helpers/requires.ts';
import { tempFolder } from './helpers/tmp.ts';

const PAGE = fileURLToPath(new URL('../docs/kubernetes.md', import.meta.url));

test('the rules are rules, and fire when a scrub failed or is missing', async (t) => {
  if (!requires(t, 'promtool')) return;
  const block = readFileSync(PAGE, 'utf8')
    .split('```yaml\n')
    .map((text) => text.split('\n```')[0] ?? '')
    .find((text) => text.includes('kind: PrometheusRule'));
  const { spec } = parse(block ?? '');
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'rules.yaml'), stringify(spec));
  t.match(String(execFileSync('promtool', ['check', 'rules', join(folder, 'rules.yaml')])), /SUCCESS: 2 rules found/);
  const name = 'kubevirt-datamover-scrub-0a1b2c3d';
  const alert = (alertname: string, exp_labels: readonly object[], eval_time: string) => ({
    alertname,
    eval_time,
    exp_alerts: exp_labels.map((labels) => ({ exp_labels: labels })),
  });
  const failed = { severity: 'critical', namespace: 'backups', job_name: `${name}-29000000` };
  const missing = { severity: 'warning', namespace: 'backups', cronjob: name };
  const tests = [
    {
      interval: '4m',
      input_series: [
        { series: `kube_job_status_failed{namespace="backups",job_name="${name}-29000000"}`, values: '0x30 1x4000' },
        { series: `kube_job_status_failed{namespace="backups",job_name="other"}`, values: '1x4000' },
        { series: `kube_cronjob_status_last_successful_time{namespace="backups",cronjob="${name}"}`, values: '0x4000' },
      ],
      alert_rule_test: [
        alert('BackupScrubFailed', [], '1h'),
        alert('BackupScrubFailed', [failed], '6h'),
        alert('BackupScrubMissing', [], '8d'),
        alert('BackupScrubMissing', [missing], '10d'),
      ],
    },
  ];
  const { rules } = spec.groups[0];
  for (const { alertname, exp_alerts } of tests[0]?.alert_rule_test ?? []) {
    const rule = rules.find((one: { alert: string }) => one.alert === alertname);
    for (const one of exp_alerts as { exp_labels: Record<string, string>; exp_annotations?: object }[]) {
      const text = (value: string): string =>
        value.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => one.exp_labels[label] ?? '');
      one.exp_annotations = Object.fromEntries(
        Object.entries(rule.annotations as Record<string, string>).map(([key, value]) => [key, text(value)]),
      );
    }
  }
  writeFileSync(join(folder, 'tests.yaml'), stringify({ rule_files: ['rules.yaml'], tests }));
  t.match(String(execFileSync('promtool', ['test', 'rules', join(folder, 'tests.yaml')])), /SUCCESS/);
});
