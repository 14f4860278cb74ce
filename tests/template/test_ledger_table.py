"""The ledger's table: its index of what has stopped is the one the code writes and reads, and costs nothing else."""

from fakes.ledger_table import STOPPED_INDEX_ATTRIBUTES, create_ledger_table
from mwaa_gateway.aws.dynamodb.ledger_items import STOPPED_INDEX
from mwaa_gateway.aws.dynamodb.watch_items import WATCHES_INDEX


class Asked:
    """Remembers what it is asked to create."""

    def create_table(self, **request):
        self.request = request


def test_the_table_is_the_one_that_is_tested_with(expand):
    """Keys, indexes and projections; a row that is neither dead nor held has no `stopped_shard`, and so lies in no index."""
    asked = Asked()
    create_ledger_table(asked)
    deployed = expand("analytics").of_type("AWS::DynamoDB::Table")["LedgerTable"]
    for name in ("KeySchema", "GlobalSecondaryIndexes", "AttributeDefinitions", "BillingMode"):
        assert deployed[name] == asked.request[name]
    stopped, watches = deployed["GlobalSecondaryIndexes"]
    assert stopped["IndexName"] == STOPPED_INDEX
    assert stopped["Projection"]["NonKeyAttributes"] == STOPPED_INDEX_ATTRIBUTES
    assert stopped["KeySchema"][0]["AttributeName"] == "stopped_shard"
    assert watches["IndexName"] == WATCHES_INDEX
    assert "sealed_token" not in watches["Projection"]["NonKeyAttributes"]
