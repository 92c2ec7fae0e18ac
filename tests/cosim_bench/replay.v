// Replays `hwsim vectors` into an emitted core and compares, without Python: +list=FILE names the jobs' folders.
// Compile with -DDUT=name and the widths below; -DOUTLIERS where the core has that port.
`timescale 1ns / 1ps
module replay;
    parameter WEIGHT_BITS = 8, ACTIVATION_BITS = 8, OUTLIER_BITS = 8, RESULT_BITS = 8, MOST = 1 << 14;

    reg clk = 0, rst = 1;
    always #5 clk = !clk;

    reg [WEIGHT_BITS-1:0] weights [0:MOST-1];
    reg [ACTIVATION_BITS-1:0] activations [0:MOST-1];
    reg [OUTLIER_BITS-1:0] outliers [0:MOST-1];
    reg [RESULT_BITS-1:0] results [0:MOST-1];
    reg [63:0] writes [0:8];
    reg [31:0] counts [0:3]; // beats of weights, activations, outliers, results

    integer weight = 0, activation = 0, outlier = 0, result = 0, errors = 0, compared = 0;
    reg running = 0;
    wire weights_tready, activations_tready, results_tvalid, results_tlast;
    wire [RESULT_BITS-1:0] results_tdata;

    reg [7:0] awaddr = 0;
    reg [31:0] wdata = 0;
    reg awvalid = 0, wvalid = 0;
    wire awready, wready, bvalid;
    wire [1:0] bresp;

`ifdef OUTLIERS
    wire outliers_tready;
`endif

    `DUT dut (
        .clk(clk), .rst(rst),
        .s_axis_weights_tdata(weights[weight]), .s_axis_weights_tvalid(running && weight < counts[0]),
        .s_axis_weights_tready(weights_tready),
        .s_axis_activations_tdata(activations[activation]),
        .s_axis_activations_tvalid(running && activation < counts[1]), .s_axis_activations_tready(activations_tready),
`ifdef OUTLIERS
        .s_axis_outliers_tdata(outliers[outlier]), .s_axis_outliers_tvalid(running && outlier < counts[2]),
        .s_axis_outliers_tready(outliers_tready),
`endif
        .m_axis_results_tdata(results_tdata), .m_axis_results_tvalid(results_tvalid),
        .m_axis_results_tlast(results_tlast), .m_axis_results_tready(1'b1),
        .s_axil_awaddr(awaddr), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
        .s_axil_wdata(wdata), .s_axil_wstrb(4'hf), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
        .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(1'b1),
        .s_axil_araddr(8'h0), .s_axil_arvalid(1'b0), .s_axil_arready(),
        .s_axil_rdata(), .s_axil_rresp(), .s_axil_rvalid(), .s_axil_rready(1'b0)
    );

    always @(posedge clk) begin
        if (running && weight < counts[0] && weights_tready) weight <= weight + 1;
        if (running && activation < counts[1] && activations_tready) activation <= activation + 1;
`ifdef OUTLIERS
        if (running && outlier < counts[2] && outliers_tready) outlier <= outlier + 1;
`endif
        if (!rst && results_tvalid) begin
            result <= result + 1;
            compared <= compared + 1;
            if (results_tdata !== results[result] || results_tlast !== (result + 1 == counts[3])) begin
                errors = errors + 1;
                $display("beat %0d: expected %h, got %h, last %b", result, results[result], results_tdata, results_tlast);
            end
        end
    end

    task write(input [63:0] word);
        begin
            @(negedge clk);
            awaddr = word[39:32];
            wdata = word[31:0];
            awvalid = 1;
            wvalid = 1;
            @(negedge clk); // the port of an idle core takes both at once
            awvalid = 0;
            wvalid = 0;
            while (!bvalid) @(negedge clk);
            if (bresp !== 2'b00) begin
                errors = errors + 1;
                $display("write %h is answered %b", word, bresp);
            end
            @(negedge clk);
        end
    endtask

    string list, folder;
    integer file, i, patience;
    initial begin
        repeat (4) @(negedge clk);
        rst = 0;
        if (!$value$plusargs("list=%s", list)) $finish;
        file = $fopen(list, "r");
        while ($fscanf(file, "%s", folder) == 1) begin
            $readmemh({folder, "/counts.hex"}, counts);
            $readmemh({folder, "/registers.hex"}, writes);
            $readmemh({folder, "/weights.hex"}, weights, 0, counts[0] - 1);
            $readmemh({folder, "/activations.hex"}, activations, 0, counts[1] - 1);
            if (counts[2] > 0) $readmemh({folder, "/outliers.hex"}, outliers, 0, counts[2] - 1);
            $readmemh({folder, "/results.hex"}, results, 0, counts[3] - 1);
            @(negedge clk);
            weight = 0;
            activation = 0;
            outlier = 0;
            result = 0;
            running = 1;
            for (i = 0; i < 9; i = i + 1) write(writes[i]);
            for (patience = 0; result < counts[3] && patience < 20000; patience = patience + 1) @(negedge clk);
            repeat (4) @(negedge clk);
            running = 0;
            if (weight != counts[0] || activation != counts[1] || outlier != counts[2] || result != counts[3]) begin
                errors = errors + 1;
                $display("%s: took %0d, %0d, %0d beats, gave %0d", folder, weight, activation, outlier, result);
            end
        end
        $display("%0d beats compared, %0d errors", compared, errors);
        $finish;
    end
endmodule
