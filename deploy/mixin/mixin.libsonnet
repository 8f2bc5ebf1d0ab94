// The dashboards and alert rules of afdp-exporter as a monitoring mixin, from a clone of the whole repository:
//   (import 'afdp-exporter/deploy/mixin/mixin.libsonnet') + { _config+:: { exporterUrl: 'https://afdp.example.org' } }
local dashboards = {
  'afdp-automation.json': importstr '../../grafana/dashboards/afdp-automation.json',
  'afdp-deployments.json': importstr '../../grafana/dashboards/afdp-deployments.json',
  'afdp-cause-and-effect.json': importstr '../../grafana/dashboards/afdp-cause-and-effect.json',
  'afdp-risk-and-windows.json': importstr '../../grafana/dashboards/afdp-risk-and-windows.json',
  'afdp-trust.json': importstr '../../grafana/dashboards/afdp-trust.json',
};
local rules = [
  importstr '../../alerting/rules/automation.yml',
  importstr '../../alerting/rules/impact.yml',
  importstr '../../alerting/rules/prediction.yml',
  importstr '../../alerting/rules/trust.yml',
  importstr '../../alerting/rules/exporter.yml',
];

{
  local config = self._config,
  local addressed(text) = std.strReplace(text, 'http://localhost:10333', config.exporterUrl),

  _config:: {
    exporterUrl: 'http://localhost:10333',  // where people reach the exporter: the links of alerts and dashboards
  },
  grafanaDashboards+:: { [name]: std.parseJson(addressed(dashboards[name])) for name in std.objectFields(dashboards) },
  prometheusAlerts+:: { groups+: std.flattenArrays([std.parseYaml(addressed(text)).groups for text in rules]) },
}
